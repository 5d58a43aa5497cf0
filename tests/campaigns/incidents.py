"""Services that are wrong on purpose, each after a real incident: see `mutants`, which hunts them."""

from tests.campaigns.patches import Mutant, Patch, one

INCIDENTS = (
    one(
        "batch_mark",
        "I20",
        "the first letter of a wave that leaves marks the whole wave as sent",
        "resonance_zoom/store/claims.py",
        '''    """sending → sent, with the server's words: (letter, when, words)."""
''',
        '''    """sending → sent, with the server's words: (letter, when, words)."""
    for letter, at, _words in accepted:
        this = select(letters.c.kind).where(letters.c.id == letter).scalar_subquery()
        wave = (letters.c.state == QUEUED) & (letters.c.kind == this) & (letters.c.ready_at <= at)
        connection.execute(update(letters).where(wave).values(state=SENT, sent_at=at, reason="w"))
''',
    ),
    one(
        "sent_before_sending",
        "I20",
        "a letter is marked as sent before it is",
        "resonance_zoom/store/claims.py",
        "        state=SENDING,\n        claimed_at=_NOW,",
        "        state=SENT,\n        claimed_at=_NOW,",
    ),
    one(
        "no_cancel_recheck",
        "I5",
        "whoever was owed a letter gets it, cancelled or not",
        "resonance_zoom/reminders.py",
        '    if person.status != "approved":\n        return Drop(person.status)\n    if meeting',
        "    if meeting",
    ),
    one(
        "no_reconcile",
        "I6",
        "Zoom's lists are never read",
        "jobs/sync_registrants.py",
        "    began = service.now()\n    try:\n        found = sweep_meeting(",
        "    began = service.now()\n    return Sweep(meeting.focus_group)\n"
        "    try:\n        found = sweep_meeting(",
    ),
    Mutant(
        "dedupe_in_memory",
        "I17",
        "which events are known is forgotten at a restart",
        (
            Patch(
                "resonance_zoom/store/people.py",
                '    return {row.key for row in find(connection, _KEYS, {"keys": [*keys]})}',
                '    seen = connection.engine.__dict__.setdefault("seen", set())\n'
                "    found = seen & {*keys}\n"
                "    seen.update(keys)\n"
                "    return found",
            ),
            Patch(
                "resonance_zoom/store/people.py",
                "    insert_many(connection, events, rows)",
                "    tag = str(id(connection.engine))[:20]\n"
                '    rows = [{**row, "key": row["key"][:40] + tag} for row in rows]\n'
                "    insert_many(connection, events, rows)",
            ),
        ),
    ),
    one(
        "utc_offset_math",
        "I7",
        "a reminder of N days falls due 24 × N hours before",
        "resonance_zoom/campaign.py",
        "            _utc(local_date - timedelta(days=n), self.reminder_send_at, self.timezone)"
        " for n in days\n",
        "            _utc(local_date, self.reminder_send_at, self.timezone) - timedelta(days=n)"
        " for n in days\n",
    ),
    one(
        "misfire_drop",
        "I3",
        "a reminder that could not leave at its minute never does",
        "resonance_zoom/reminders.py",
        "        late = now >= due.until\n",
        "        late = now >= due.at + timedelta(minutes=2)\n",
    ),
    Mutant(
        "blind_resend",
        "I1",
        "whatever is in doubt goes again, every kind and every time",
        (
            Patch(
                "resonance_zoom/delivery.py",
                "    again = needed and outbox.once_more(",
                "    again = outbox.once_more(",
            ),
            Patch(
                "resonance_zoom/store/outbox.py",
                "        letters.c.recoveries == 0,\n",
                "",
            ),
        ),
    ),
    one(
        "last_arrival_wins",
        "I15",
        "what comes last is believed, whatever its stamp",
        "resonance_zoom/registrations.py",
        "    for event in sorted(set(told), key=_order):",
        "    for event in dict.fromkeys(told):",
    ),
    one(
        "partial_page_cancels",
        "I18",
        "a listing that breaks off passes for a whole one",
        "resonance_zoom/zoom/client.py",
        "            page = self._call(replace(listing, params=params))\n",
        "            try:\n                page = self._call(replace(listing, params=params))\n"
        "            except ZoomError:\n                return\n",
    ),
    one(
        "due_never_recomputed",
        "I7",
        "reminders keep the date that the meeting had before it was moved",
        "resonance_zoom/reminders.py",
        "    for due in campaign.reminders(meeting.start_at):\n        if now < due.at:",
        "    for due in campaign.reminders(meeting.former_start or meeting.start_at):\n"
        "        if now < due.at:",
    ),
    one(
        "create_blind",
        "I13",
        "a meeting is created without a look whether it is there",
        "resonance_zoom/comparison.py",
        "        if len(found) > 1:\n",
        "        found = []\n        if len(found) > 1:\n",
    ),
    one(
        "two_daemons",
        "I23",
        "nothing keeps a second daemon away",
        "resonance_zoom/store/beside.py",
        "        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "        pass\n",
    ),
    one(
        "catchup_late_regs",
        "I4",
        "who registers after a reminder fell due gets it all the same",
        "resonance_zoom/store/outbox.py",
        "        registrants.c.registered_at <= due_at,\n"
        "        registrants.c.approved_at <= due_at,\n",
        "",
    ),
    one(
        "ack_before_commit",
        "I14",
        "Zoom is answered 200 for what was not stored",
        "resonance_zoom/web/webhooks.py",
        '    return PlainTextResponse("not stored, come again\\n", status_code=503)',
        "    return Response(status_code=200)",
    ),
    Mutant(
        "restore_resends",
        "I22",
        "after a restore everything that was due since the backup goes again",
        (
            Patch(
                "resonance_zoom/holds.py",
                "    held = 0\n    for window in _windows(connection):\n"
                '        until = datetime.fromisoformat(window["until"])\n',
                "    held = 0\n    for window in []:\n"
                '        until = datetime.fromisoformat(window["until"])\n',
            ),
        ),
    ),
    # ---- beyond the list of the incidents ----
    Mutant(
        "no_clock_guard",
        "I7",
        "letters leave by whatever the clock says",
        (
            Patch(
                "resonance_zoom/clock_guard.py",
                "        if abs(jump) > TOLERANCE:\n",
                "        if abs(jump) > 10_000 * TOLERANCE:\n",
            ),
            Patch(
                "resonance_zoom/clock_guard.py",
                "        return abs(self._jump(self.now())) > TOLERANCE\n",
                "        return False\n",
            ),
        ),
    ),
    one(
        "doubt_waits",
        "I2",
        "a confirmation whose answer was lost waits for staff",
        "resonance_zoom/delivery.py",
        "    again = needed and outbox.once_more(",
        "    again = not needed and outbox.once_more(",
    ),
    one(
        "absent_is_gone",
        "I18",
        "one listing without somebody says that they are gone",
        "resonance_zoom/sweep.py",
        "    gone = [\n        row\n        for row in lacking\n"
        "        if row.absent_since is not None and began - row.absent_since >= BETWEEN_LISTINGS\n"
        "    ]\n",
        "    lacking = people.with_ids(connection, unseen)\n"
        "    gone = [row for row in lacking if row.absent_since is not None]\n",
    ),
    one(
        "reminder_of_the_old_date",
        "I10",
        "a letter that waited over a move speaks of the date before it",
        "resonance_zoom/store/claims.py",
        "            known[letter.focus_group],\n",
        "            known[letter.focus_group]._replace(start_at=letter.start_at),\n",
    ),
    one(
        "never_too_late",
        "I9",
        "a reminder leaves however late",
        "resonance_zoom/reminders.py",
        "if letter.kind == CONFIRMATION else letter.worth_until):",
        "if True else letter.worth_until):",
    ),
    one(
        "case_makes_people",
        "I16",
        "one address in two casings is two people",
        "resonance_zoom/store/people.py",
        "    return email.strip().lower()\n",
        "    return email.strip()\n",
    ),
    one(
        "same_episode",
        "I2",
        "who comes back after a cancellation gets no new link",
        "resonance_zoom/registrations.py",
        "episode=state.episode + 1)",
        "episode=state.episode)",
    ),
    one(
        "recovery_forgotten",
        "I27",
        "what a crash left half sent stays so",
        "resonance_zoom/daemon.py",
        "recovered = delivery.recover(connection, service.campaign, now)",
        "recovered = 0",
    ),
    one(
        "token_kept",
        "I28",
        "a token that Zoom refuses is used on",
        "resonance_zoom/zoom/client.py",
        "        except ZoomUnauthorized:\n"
        "            # Another process may have used the token up; Zoom did nothing on a 401.\n"
        "            self._tokens.invalidate(token)\n",
        "        except ZoomUnauthorized:\n            pass\n",
    ),
)
