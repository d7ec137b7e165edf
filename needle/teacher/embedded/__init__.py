"""The embedded teacher: a stand-in that speaks the OpenAI protocol in-process, so that everything runs without a
key.

It writes requests (phrasing learnt from recorded teacher traces of training toolsets, schema-driven for tools it
has never seen) and labels requests (what it wrote itself it remembers; anything else goes to a lexical matcher). It
makes no claim of teacher quality: data for real use should come from a real teacher, through the same commands.

    from needle.teacher.embedded import EmbeddedTeacher, make_app      # uvicorn can serve
    make_app(EmbeddedTeacher()) as well
"""

from needle.teacher.embedded.app import make_app
from needle.teacher.embedded.brain import EmbeddedTeacher

__all__ = ["EmbeddedTeacher", "make_app"]
