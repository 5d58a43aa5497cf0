"""What the app must be allowed: for each call that the service makes, the scopes that cover it.

https://developers.zoom.us/docs/integrations/oauth-scopes-granular/
"""

from collections.abc import Mapping

# Zoom's operationId → scopes that allow it: the granular one that we ask for, then the classic one.
# No command deletes a meeting, so the service does not ask for that power.
REQUIRED_SCOPES: Mapping[str, tuple[str, ...]] = {
    "meetingCreate": ("meeting:write:meeting:admin", "meeting:write:admin"),
    "meeting": ("meeting:read:meeting:admin", "meeting:read:admin"),
    "meetings": ("meeting:read:list_meetings:admin", "meeting:read:admin"),
    "meetingUpdate": ("meeting:update:meeting:admin", "meeting:write:admin"),
    "meetingRegistrants": ("meeting:read:list_registrants:admin", "meeting:read:admin"),
    "meetingRegistrantGet": ("meeting:read:registrant:admin", "meeting:read:admin"),
    "meetingregistrantdelete": ("meeting:delete:registrant:admin", "meeting:write:admin"),
    "user": ("user:read:user:admin", "user:read:admin"),
}

# Only to correct an address on a staff page: without it, that one act is refused, with this name.
OPTIONAL_SCOPES: Mapping[str, tuple[str, ...]] = {
    "meetingRegistrantCreate": ("meeting:write:registrant:admin", "meeting:write:admin"),
}


def scopes_for(operation: str) -> tuple[str, ...]:
    """The scopes that allow an operation, the one to add first; () when none is known."""
    return REQUIRED_SCOPES.get(operation) or OPTIONAL_SCOPES.get(operation, ())


def missing_scopes(granted: frozenset[str]) -> list[str]:
    """The granular names still lacking; a classic scope stands for its granular ones."""
    return [names[0] for names in REQUIRED_SCOPES.values() if granted.isdisjoint(names)]
