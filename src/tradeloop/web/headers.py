"""What browsers are told about every page: nothing from elsewhere, nothing inline, framed by Airflow alone."""

from __future__ import annotations

from typing import Final

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors {ancestors}"
)
KEPT: Final = "public, max-age=31536000, immutable"
"""Files are named by their content."""


def security(ancestors: str = "'none'") -> dict[str, str]:
    """Headers of a page; `ancestors` may frame it."""
    return {
        "Content-Security-Policy": POLICY.format(ancestors=ancestors),
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
        "Cache-Control": "no-store",
        "Vary": "HX-Request, Cookie",
    }
