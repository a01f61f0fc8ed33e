"""The settings of web servers: which images of a list are had, never what is made of one."""

from dataclasses import dataclass, replace
from typing import Annotated

from iem_batch.checks import Rule, Section, above, at_least

_ONE_LINE = Rule("one line of ASCII", lambda text: text.isascii() and text.isprintable())


@dataclass(frozen=True, kw_only=True)
class WebSettings(Section, name="web"):
    """How web servers are asked; for URLs of images also how long, how often and for how much.

    Proxies are those of the environment: http_proxy, https_proxy and no_proxy.
    """

    timeout_s: Annotated[float, above(0)] = 60.0
    """Seconds that one URL may take, all tries and waits included; a server that says nothing for a
    third of it is given up for that try. At most half of limits.timeout_s."""

    max_attempts: Annotated[int, at_least(1)] = 3
    """Tries of a URL while its server does not answer or is busy. A server that says when to come
    back (Retry-After) is asked then, if that is within timeout_s."""

    max_mb: Annotated[float, above(0)] = 128.0
    """An image of more megabytes (10^6 bytes) is not read, but quarantined as `too_large`."""

    user_agent: Annotated[str, _ONE_LINE] = "iem-batch"
    """How requests name their sender; many servers want an address to write to in it."""

    use_opted_out: bool = False
    """Also use images whose server says X-Robots-Tag: noai or noimageai; else they go to quarantine
    as `opted_out`."""

    @property
    def max_bytes(self) -> int:
        """The bytes an image may have."""
        return int(self.max_mb * 1e6)

    def within(self, timeout_s: float | None) -> "WebSettings":
        """Give the settings for a phase that is stopped after some time; None is never."""
        if timeout_s is None:
            return self
        return replace(self, timeout_s=min(self.timeout_s, timeout_s / 2))


DEFAULTS = WebSettings()
"""How servers are asked where nobody says."""
