"""`check`, Zoom's part: the token, its scopes, the host, and the time by Zoom's clock."""

from datetime import timedelta

from resonance_zoom.comparison import with_reference
from resonance_zoom.doctor.points import (
    TRY_AGAIN,
    NotChecked,
    Patient,
    Verdict,
    ahead,
    count,
    green,
    known,
    missing,
    orange,
    red,
)
from resonance_zoom.errors import ZoomNotFound, ZoomUnauthorized
from resonance_zoom.settings import ZOOM_NEEDS, Settings
from resonance_zoom.zoom.client import missing_scopes
from resonance_zoom.zoom.payloads import LICENSED

SKEW_FINE, SKEW_BEARABLE = timedelta(seconds=5), timedelta(seconds=120)
HOST_MARGIN = timedelta(minutes=30)
READS_USERS = "user:read:user:admin"
LISTS_MEETINGS = "meeting:read:list_meetings:admin"


def zoom_token(patient: Patient) -> Verdict:
    """Zoom knows the app and its secret."""
    settings = patient.settings
    if ZOOM_NEEDS & set(missing(settings)):
        raise NotChecked("environment")
    try:
        patient.granted = patient.zoom.granted_scopes()
    except ZoomUnauthorized as error:
        return red(
            error.message,
            f"On marketplace.zoom.us › Manage open {_app(settings)}: it must be activated, and"
            " ZOOM_ACCOUNT_ID, ZOOM_CLIENT_ID and ZOOM_CLIENT_SECRET must be those of its page"
            " App Credentials.",
        )
    return green(f"Zoom gives a token to {_app(settings)}")


def scopes(patient: Patient) -> Verdict:
    """The app may do all that the service does."""
    patient.lacking = frozenset(missing_scopes(known(patient.granted, "Zoom token")))
    if not patient.lacking:
        return green("the app has every scope that is needed")
    return red(
        f"the app lacks {count(len(patient.lacking), 'scope')}:"
        f" {' '.join(sorted(patient.lacking))}",
        f"Add them under Scopes in {_app(patient.settings)}; new scopes need a new token: wait a"
        " few minutes and run check again.",
    )


def host_licensed(patient: Patient) -> Verdict:
    """The host exists and may have registration."""
    campaign = known(patient.campaign, "campaign file")
    _may(patient, READS_USERS)
    try:
        host = patient.zoom.get_user(campaign.zoom_host)
    except ZoomNotFound:
        # Zoom's own message repeats the address of the host.
        return red(
            "zoom_host names nobody in this Zoom account",
            "Correct zoom_host in the campaign file: the e-mail or user id of a licensed user.",
        )
    if host.type != LICENSED:
        return red(
            f"the host has no licence (Zoom's user type {host.type}): registration is impossible",
            "Give zoom_host a licence on zoom.us › User Management, or name a licensed user.",
        )
    patient.host_found = True
    return green("the host has a licence")


def host_free(patient: Patient) -> Verdict:
    """Nobody else needs the host while a focus group meets."""
    campaign = known(patient.campaign, "campaign file")
    known(patient.granted, "Zoom token")
    if not patient.host_found:
        raise NotChecked("host licensed")
    _may(patient, LISTS_MEETINGS)
    listing = patient.zoom.list_meetings(campaign.zoom_host)
    ours = {
        summary.id
        for group in campaign.focus_groups
        for summary in with_reference(listing, campaign.reference(group))
    }
    clashes = [
        f"meeting {other.id} ({other.start_time:%Y-%m-%d %H:%M} UTC) overlaps {group.slug}"
        for group in ahead(patient)
        for other in listing
        if other.id not in ours
        and other.start_time is not None
        and other.start_time < group.end + HOST_MARGIN
        and other.start_time + timedelta(minutes=other.duration) > group.start - HOST_MARGIN
    ]
    if clashes:
        return orange(
            "the host is wanted elsewhere: " + "; ".join(clashes),
            "A host can hold one meeting at a time: move the other one, or name another zoom_host.",
        )
    return green("the host has no other meeting half an hour around the focus groups")


def clock(patient: Patient) -> Verdict:
    """This machine agrees with Zoom about the time: letters and tokens depend on it."""
    skew = patient.zoom.clock_skew
    if skew is None:
        known(patient.granted, "Zoom token")
        return orange("Zoom's answers do not say what time it is", TRY_AGAIN)
    seconds = f"{abs(skew).total_seconds():.0f} seconds"
    says = (
        f"this machine's clock is {seconds} {'behind' if skew > timedelta() else 'ahead of'} Zoom's"
    )
    remedy = "Let the system keep the time: timedatectl set-ntp true"
    if abs(skew) > SKEW_BEARABLE:
        return red(says, remedy)
    if abs(skew) > SKEW_FINE:
        return orange(says, remedy)
    return green(f"this machine's clock agrees with Zoom's within {SKEW_FINE.seconds} seconds")


def _may(patient: Patient, scope: str) -> None:
    known(patient.granted, "Zoom token")
    if scope in patient.lacking:
        raise NotChecked("scopes")


def _app(settings: Settings) -> str:
    """How to find the app among others; the end of an id gives nothing away."""
    tail = settings.zoom_client_id[-4:] if len(settings.zoom_client_id) >= 12 else ""
    return "the Server-to-Server OAuth app" + (f" whose Client ID ends in {tail}" if tail else "")
