"""The HTTP room: any ``Caller`` behind OpenAI's chat completions, so that programs written for that API run unchanged.

    needle serve --port 8377
    app = create_app(needle.load())                      # an ASGI app, to mount anywhere
    OpenAI(base_url="http://127.0.0.1:8377/v1", api_key="none").chat.completions.create(
        model="needle", messages=[{"role": "user", "content": "dim the hall"}], tools=[...])

What is answered, refused and ignored is listed in ``docs/serve.md``.
"""

from needle.serve.app import create_app
from needle.serve.limits import Limits
from needle.serve.run import LOOPBACK, listen, serve

__all__ = ["LOOPBACK", "Limits", "create_app", "listen", "serve"]
