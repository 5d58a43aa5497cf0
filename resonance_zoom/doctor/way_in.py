"""`check`, the way in: Zoom's calls can be believed, and they reach us."""

import secrets
from datetime import datetime, timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import NameResolutionError

from resonance_zoom.doctor.points import NotChecked, Patient, Verdict, count, green, orange, red
from resonance_zoom.settings import is_loopback
from resonance_zoom.zoom import protocol
from resonance_zoom.zoom.payloads import Challenge

SHORT_SECRET = 16
ZOOM_PATIENCE = 3  # seconds: https://developers.zoom.us/docs/api/webhooks/
HOME_NAMES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


def webhook_secret(patient: Patient) -> Verdict:
    """Zoom's calls can be told from anybody else's."""
    if not patient.settings.webhooks:
        return green("off: polling every 2 minutes")
    known = patient.settings.zoom_webhook_secrets
    if not known:
        return red(
            "ZOOM_WEBHOOK_SECRET_TOKEN is missing: no call of Zoom's could be believed",
            "Copy the Secret Token from the app's Feature › Event Subscriptions, or set"
            " WEBHOOKS=off on a machine without a public address.",
        )
    if any(len(secret) < SHORT_SECRET for secret in known):
        return orange(
            f"a webhook secret is shorter than {SHORT_SECRET} characters; Zoom's own are longer",
            "See that ZOOM_WEBHOOK_SECRET_TOKEN was copied whole from Feature › Event"
            " Subscriptions.",
        )
    return green(f"{count(len(known), 'webhook secret')} known")


def public_address(patient: Patient) -> Verdict:
    """Zoom can call us: our own address is called as Zoom does, from here."""
    settings = patient.settings
    if not settings.webhooks:
        return green("not needed: WEBHOOKS=off")
    real_zoom = not is_loopback(urlsplit(settings.zoom_api_url).hostname)
    if real_zoom and not _is_public(settings.public_url):
        return red(
            "Zoom calls https addresses on the public Internet only; PUBLIC_URL is not one",
            "Set PUBLIC_URL to the https address of this service, or WEBHOOKS=off.",
        )
    if not settings.zoom_webhook_secrets:
        raise NotChecked("webhook secret")
    url = f"{settings.public_url}/webhooks/zoom"
    try:
        answer, expected = _challenged(url, settings.zoom_webhook_secrets[0], patient.now())
    except requests.RequestException as error:
        return _no_answer(error)
    return _answered(answer, expected)


def _challenged(url: str, secret: str, now: datetime) -> tuple[requests.Response, dict[str, str]]:
    """Zoom's `endpoint.url_validation`, signed and posted; the answer, and what it must hold.

    https://developers.zoom.us/docs/api/webhooks/#validate-your-webhook-endpoint
    """
    plain, timestamp = secrets.token_urlsafe(16), str(int(now.timestamp()))
    body = (
        f'{{"event":"endpoint.url_validation","event_ts":{timestamp}000,'
        f'"payload":{{"plainToken":"{plain}"}}}}'
    ).encode()
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "resonance-zoom check",  # a log must not take this for a call of Zoom's
        "x-zm-request-timestamp": timestamp,
        "x-zm-signature": protocol.sign(secret, timestamp, body),
    }
    with requests.Session() as session:
        # A proxy for the way out cannot know the way to this machine.
        session.trust_env = not is_loopback(urlsplit(url).hostname)
        answer = session.post(
            url, data=body, headers=headers, timeout=ZOOM_PATIENCE, allow_redirects=False
        )
    return answer, protocol.challenge_answer(Challenge(plain), secret=secret)


def _no_answer(error: requests.RequestException) -> Verdict:
    if isinstance(error, requests.exceptions.SSLError):
        return red(
            "PUBLIC_URL: the TLS connection fails, Zoom's would too",
            "Zoom wants TLS 1.2 or newer and a valid certificate for this name, with the whole"
            " chain: see the proxy's certificate.",
        )
    if isinstance(error, requests.ConnectTimeout):
        return orange(
            f"PUBLIC_URL: no connection from this machine within {ZOOM_PATIENCE} seconds",
            "Open the port in the firewall. Some routers keep a machine from its own public"
            " address: then press Validate in the app's Event Subscriptions instead.",
        )
    if isinstance(error, requests.Timeout):
        return red(
            f"PUBLIC_URL: no answer within {ZOOM_PATIENCE} seconds, then Zoom gives up",
            "See what holds it up: the proxy, or a machine that is too busy.",
        )
    if _caused_by(error, NameResolutionError):
        return red(
            "PUBLIC_URL: its name is not known to the DNS",
            "Correct PUBLIC_URL, or have the name entered in the DNS.",
        )
    if _caused_by(error, ConnectionRefusedError):
        return orange(
            "PUBLIC_URL: connection refused", "Is the daemon running? Start it and run check again."
        )
    return red(
        f"PUBLIC_URL: the connection broke off ({type(error).__name__})",
        "See the log of the proxy in front of this service.",
    )


def _answered(answer: requests.Response, expected: dict[str, str]) -> Verdict:
    status = answer.status_code
    if answer.is_redirect or 300 <= status < 400:
        return red(
            f"PUBLIC_URL: a redirect ({status}), and Zoom follows none",
            "Set PUBLIC_URL to the address that it leads to, or take the redirect off"
            " /webhooks/zoom.",
        )
    if status == 401:
        return red(
            "PUBLIC_URL: our own signature is refused (401)",
            "The daemon runs with another ZOOM_WEBHOOK_SECRET_TOKEN (restart it), or a proxy"
            " changes the body or drops the x-zm- headers.",
        )
    if status in {404, 405}:
        return red(
            f"PUBLIC_URL: nothing there under /webhooks/zoom ({status})",
            "The proxy does not forward this path: forward POST /webhooks/zoom to HOST and PORT.",
        )
    if status in {502, 503, 504}:
        return orange(
            f"PUBLIC_URL: the proxy answers, the service behind it does not ({status})",
            "Is the daemon running? Start it and run check again.",
        )
    if status != 200 or not _holds(answer, expected):
        return red(
            f"PUBLIC_URL: a wrong answer to Zoom's challenge ({status})",
            "Something else answers at that address: see where the proxy forwards"
            " /webhooks/zoom to.",
        )
    if answer.elapsed > timedelta(seconds=ZOOM_PATIENCE):
        return red(
            f"PUBLIC_URL: the answer took longer than {ZOOM_PATIENCE} seconds",
            "See what holds it up: the proxy, or a machine that is too busy.",
        )
    return green("PUBLIC_URL answers Zoom's challenge rightly")


def _holds(answer: requests.Response, expected: dict[str, str]) -> bool:
    try:
        said = answer.json()
    except requests.JSONDecodeError:
        return False
    return isinstance(said, dict) and expected.items() <= said.items()


def _is_public(url: str) -> bool:
    """Whether Zoom could reach the address: https, and no name or number of a private network."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        at_home = not ip_address(host).is_global
    except ValueError:
        at_home = "." not in host or host.endswith(HOME_NAMES)
    return parts.scheme == "https" and not at_home


def _caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    """Whether `kind` lies somewhere under what requests and urllib3 wrapped around it."""
    while error is not None:
        reason = getattr(error, "reason", None)
        if isinstance(error, kind) or isinstance(reason, kind):
            return True
        error = error.__cause__ or error.__context__
    return False
