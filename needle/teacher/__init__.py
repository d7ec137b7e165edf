"""Teachers: the client for any OpenAI-compatible endpoint, and the embedded teacher behind the same client.

``resolve_teacher`` turns a name or an address into a ``TeacherConfig``; ``Teacher`` (async) asks; ``EndpointCaller``
makes an endpoint a ``Caller``. ``base_url="embedded"`` needs no key
and no network: it is a stand-in for trying the whole loop, and no claim of teacher quality.
"""

from needle.teacher.caller import EndpointCaller
from needle.teacher.client import Teacher, Usage
from needle.teacher.config import Capabilities, Limits, Prices, TeacherConfig, check_capabilities
from needle.teacher.errors import PermanentError, TransientError
from needle.teacher.profiles import load_profiles, resolve_teacher

__all__ = [
    "Capabilities",
    "EndpointCaller",
    "Limits",
    "PermanentError",
    "Prices",
    "Teacher",
    "TeacherConfig",
    "TransientError",
    "Usage",
    "check_capabilities",
    "load_profiles",
    "resolve_teacher",
]
