"""Were the four promises kept? Judged by the simulated Zoom and the mail server."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from resonance_zoom import reports
from resonance_zoom.campaign import Campaign
from resonance_zoom.rehearsal.loopback import Mail
from resonance_zoom.rehearsal.stage import Stage
from resonance_zoom.zoom.simulator import SimMeeting, SimRegistrant

AT_ONCE = timedelta(minutes=1)
SWEPT = timedelta(minutes=11)
SECOND_THOUGHTS = timedelta(minutes=10)  # a date edited by hand on Zoom may be taken back so long


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise, whether it was kept, and what shows it (or what broke it)."""

    promise: str
    kept: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class Owed:
    """A letter that the truth says must have left once, within a window."""

    group: str
    email: str
    kind: str
    earliest: datetime
    latest: datetime
    join_url: str


@dataclass(frozen=True, slots=True)
class Stay:
    """One uninterrupted registration: from when to when (None: to the end), and its link."""

    email: str
    since: datetime
    until: datetime | None
    join_url: str


def judge(stage: Stage, campaign: Campaign) -> list[Promise]:
    """The four promises, in order."""
    truth = _truth(stage, campaign)
    return [
        _one_meeting_each(stage, campaign),
        _everyone_is_known(stage, truth),
        _every_letter_once(stage, campaign, truth),
        _staff_can_see(stage, campaign),
    ]


def _truth(stage: Stage, campaign: Campaign) -> dict[str, SimMeeting]:
    """{slug: the first meeting that carries its topic}."""
    found: dict[str, SimMeeting] = {}
    for group in campaign.focus_groups:
        for meeting in stage.zoom.meetings.values():
            if meeting.topic == group.title:
                found.setdefault(group.slug, meeting)
    return found


def _one_meeting_each(stage: Stage, campaign: Campaign) -> Promise:
    wrong = []
    for group in campaign.focus_groups:
        ours = [
            meeting
            for meeting in stage.zoom.meetings.values()
            if meeting.topic == group.title and not meeting.deleted
        ]
        if len(ours) != 1:
            wrong.append(f"{group.slug} has {len(ours)} meetings")
            continue
        start = stage.edited[group.slug][1] if group.slug in stage.edited else group.start
        if ours[0].start_time != start:
            wrong.append(f"{group.slug} starts at {ours[0].start_time}, not {start}")
        if not ours[0].registration_on:
            wrong.append(f"{group.slug} has no registration")
    count = len(campaign.focus_groups)
    creates = sum(call.operation == "meetingCreate" and call.done for call in stage.zoom.calls)
    followed = f"; the edit by hand of {', '.join(stage.edited)} followed" if stage.edited else ""
    return _promise(
        "Every focus group has exactly one Zoom meeting",
        wrong,
        f"{count} groups, {creates} meetings created{followed}",
    )


def _everyone_is_known(stage: Stage, truth: dict[str, SimMeeting]) -> Promise:
    with stage.service.store.read() as connection:
        known = {
            (row["focus_group"], row["email"].lower()): row
            for row in reports.registrant_list(connection)
        }
    wrong, count = [], 0
    for slug, meeting in truth.items():
        for registrant in meeting.registrants.values():
            latest = meeting.registrant(registrant.email)
            if latest is not registrant:
                continue
            count += 1
            row = known.pop((slug, registrant.email.lower()), None)
            status = "cancelled" if registrant.status == "deleted" else registrant.status
            if row is None:
                wrong.append(f"{registrant.email} of {slug} is not known")
            elif row["status"] != status:
                wrong.append(f"{registrant.email} of {slug} is {status}, known as {row['status']}")
    wrong += [f"{email} of {slug} is known and does not exist" for slug, email in known]
    by_sweep = sum(row["source"] == "sweep" for row in _rows(stage))
    return _promise(
        "Everyone who registers on Zoom's page is known here",
        wrong,
        f"{count} registrations, as Zoom has them; {by_sweep} found by the sweep",
    )


def _rows(stage: Stage) -> list[dict[str, object]]:
    with stage.service.store.read() as connection:
        return reports.registrant_list(connection)


def _every_letter_once(stage: Stage, campaign: Campaign, truth: dict[str, SimMeeting]) -> Promise:
    received: dict[str, list[Mail]] = {}
    for mail in stage.edges.mails:
        for email in mail.recipients:
            received.setdefault(email, []).append(mail)
    owed = [
        letter
        for slug, meeting in truth.items()
        for stay in _stays(meeting)
        for letter in _owed(stage, campaign, slug, meeting, stay, received.get(stay.email, ()))
    ]
    wrong: list[str] = []
    waits: list[timedelta] = []
    unclaimed: dict[tuple[str, tuple[str, ...]], list[Mail]] = {}
    for mail in stage.edges.mails:
        unclaimed.setdefault((mail.kind, mail.recipients), []).append(mail)
    for letter in owed:
        candidates = unclaimed.get((letter.kind, (letter.email,)), [])
        fitting = [mail for mail in candidates if letter.join_url and letter.join_url in mail.text]
        what = f"{letter.kind} of {letter.group} to {letter.email}"
        if not fitting:
            wrong.append(f"{what} never left")
            continue
        mail = fitting[0]
        candidates.remove(mail)
        if not letter.earliest <= mail.at <= letter.latest:
            wrong.append(f"{what} left at {mail.at}, not from {letter.earliest} to {letter.latest}")
        waits.append(mail.at - letter.earliest)
    wrong += [
        f"a {mail.kind} went to {mail.recipients[0]} unowed"
        for mails in unclaimed.values()
        for mail in mails
    ]
    quick = sum(wait <= AT_ONCE for wait in waits)
    return _promise(
        "Everyone registered gets their own link at once and each reminder, exactly once",
        wrong,
        f"{len(owed)} letters owed, {len(stage.edges.mails)} left, {quick} within a minute,"
        f" the last after {max(waits, default=timedelta(0))}",
    )


def _stays(meeting: SimMeeting) -> Iterator[Stay]:
    for registrant in meeting.registrants.values():
        yield from _stays_of(registrant)


def _stays_of(registrant: SimRegistrant) -> Iterator[Stay]:
    since: datetime | None = None
    for at, status in registrant.history:
        if status == "approved" and since is None:
            since = at
        elif status != "approved" and since is not None:
            yield Stay(registrant.email, since, at, registrant.join_url or "")
            since = None
    if since is not None:
        yield Stay(registrant.email, since, None, registrant.join_url or "")


def _owed(
    stage: Stage,
    campaign: Campaign,
    slug: str,
    meeting: SimMeeting,
    stay: Stay,
    received: Sequence[Mail],
) -> Iterator[Owed]:
    if campaign.sends_confirmations:
        yield _due_letter(stage, slug, stay, "confirmation", stay.since, stay.since + SWEPT)
    for days in campaign.reminder_days_before:
        due = _reminder_due(meeting.start_time, days, campaign)
        present = stay.since <= due and (stay.until is None or stay.until > due)
        if present:
            late = due + timedelta(minutes=15)
            yield _due_letter(stage, slug, stay, f"reminder-{days}", due, late)
    yield from _told_of_the_edit(stage, slug, stay, received)


def _told_of_the_edit(
    stage: Stage, slug: str, stay: Stay, received: Sequence[Mail]
) -> Iterator[Owed]:
    """Whoever had a letter with the old date, and is still registered, is told the new one."""
    if slug not in stage.edited:
        return
    at, _ = stage.edited[slug]
    told_before = any(mail.at <= at and stay.join_url in mail.text for mail in received)
    due = at + SECOND_THOUGHTS
    if told_before and (stay.until is None or stay.until > due):
        yield _due_letter(stage, slug, stay, "moved", due, due + timedelta(minutes=15))


def _due_letter(
    stage: Stage, slug: str, stay: Stay, kind: str, earliest: datetime, latest: datetime
) -> Owed:
    """While the service was down nothing could leave: the window ends soon after it came back."""
    for down, up in stage.outages:
        if down - timedelta(minutes=1) <= earliest <= up:
            latest = up + timedelta(minutes=15)
    return Owed(slug, stay.email, kind, earliest, latest, stay.join_url)


def _reminder_due(start: datetime, days: int, campaign: Campaign) -> datetime:
    """Computed a second way, not with the campaign's own rule: local noon, shifted to the hour."""
    zone: ZoneInfo = campaign.timezone
    noon = start.astimezone(zone).replace(hour=12, minute=0, second=0, microsecond=0, tzinfo=None)
    local = noon - timedelta(days=days)
    at = campaign.reminder_send_at
    return local.replace(hour=at.hour, minute=at.minute, second=at.second, tzinfo=zone)


def _staff_can_see(stage: Stage, campaign: Campaign) -> Promise:
    with stage.service.store.read() as connection:
        letters = reports.letter_list(connection)
        unclear = [
            f"letter {letter['id']} is {letter['state']} without a reason"
            for letter in letters
            if not letter["reason"]
        ]
        people = {row["email"] for row in reports.registrant_list(connection)}
        for email in sorted(people):
            found = reports.who(connection, campaign, email, stage.clock())
            if not found["history"] or not all(one["answer"] for one in found["registrations"]):
                unclear.append(f"nothing is told about {email}")
        lines = len(reports.journal_lines(connection))
    sent = sum(letter["state"] == "sent" for letter in letters)
    if sent != len(stage.edges.mails):
        unclear.append(f"{sent} letters are written down as sent, {len(stage.edges.mails)} left")
    states = Counter(letter["state"] for letter in letters)
    told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    return _promise(
        "Staff can see what happened to whom, and why",
        unclear,
        f"{len(people)} people looked up, letters: {told}; {lines} journal lines",
    )


def _promise(words: str, wrong: list[str], evidence: str) -> Promise:
    if not wrong:
        return Promise(words, kept=True, evidence=evidence)
    more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
    return Promise(words, kept=False, evidence="; ".join(wrong[:3]) + more)
