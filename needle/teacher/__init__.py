"""Teachers: the client for any OpenAI-compatible endpoint, and the embedded teacher behind the same client.

``Teacher`` (async) asks; ``EndpointCaller`` makes an endpoint a ``Caller``. ``base_url="embedded"`` needs no key
and no network: it is a stand-in for trying the whole loop, and no claim of teacher quality.
"""

from needle.teacher.caller import EndpointCaller
from needle.teacher.client import Teacher, TeacherConfig, Usage
from needle.teacher.errors import PermanentError, TransientError

__all__ = ["EndpointCaller", "PermanentError", "Teacher", "TeacherConfig", "TransientError", "Usage"]
