"""The playground: a page served to this machine's own browser, to try tools, mend answers and fine-tune on what was mended.

    needle playground
    app = create_playground(desk)            # an ASGI app; ``Desk`` is what the page works on

How to use it and what it refuses is in ``docs/playground.md``.
"""

from needle.serve.playground.app import create_playground
from needle.serve.playground.desk import Desk
from needle.serve.playground.training import Training

__all__ = ["Desk", "Training", "create_playground"]
