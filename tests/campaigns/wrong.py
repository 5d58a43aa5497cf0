"""All services that are wrong on purpose: after incidents, and one for each promise beside them."""

from tests.campaigns.incidents import INCIDENTS
from tests.campaigns.patches import Mutant, Patch, one

MUTANTS = (
    *INCIDENTS,
    # ---- what was promised beside ----
    one(
        "slow_after_an_outage",
        "I8",
        "after an outage the relay is tried again hours later",
        "jobs/deliver_letters.py",
        "RELAY_BACK_OFF = (1, 2, 5, 10)",
        "RELAY_BACK_OFF = (1, 30, 120, 240)",
    ),
    one(
        "last_recipient",
        "I11",
        "a letter goes to whom the one before went",
        "resonance_zoom/delivery.py",
        "        talk = sending(postman, sender=sender, recipient=person.email, message=message)",
        '        whom = self.__dict__.get("whom", person.email)\n'
        '        self.__dict__["whom"] = person.email\n'
        "        talk = sending(postman, sender=sender, recipient=whom, message=message)",
    ),
    Mutant(
        "groups_of_others",
        "I12",
        "a letter lists the groups for which others are registered",
        (
            Patch(
                "resonance_zoom/store/claims.py",
                "        _elsewhere.c.email_folded == address, _elsewhere.c.status",
                "        (_elsewhere.c.email_folded == address) | (_elsewhere.c.id > 0),"
                " _elsewhere.c.status",
            ),
        ),
    ),
    one(
        "announcements_unread",
        "I17",
        "announcements are written down and not understood; the sweep hides it",
        "resonance_zoom/web/webhooks.py",
        "    return learning.notified(notification, meeting, now)",
        '    _note(connection, now, notification, meeting, "kept")\n    return ()',
    ),
    one(
        "one_secret",
        "I17",
        "while the secret is changed the old one is refused",
        "resonance_zoom/zoom/protocol.py",
        "        for index, secret in enumerate(secrets)\n",
        "        for index, secret in enumerate(secrets[:1])\n",
    ),
    one(
        "crowd_believed",
        "I18",
        "that a crowd is gone is believed without a yes",
        "resonance_zoom/sweep.py",
        "    if len(gone) > max(3, len(active) // 10) and not gone_is_agreed:",
        "    if len(gone) > 10_000 and not gone_is_agreed:",
    ),
    Mutant(
        "sent_goes_again",
        "I19",
        "a letter that was sent is queued again in place of a copy",
        (
            Patch(
                "resonance_zoom/acts.py",
                '    if row.state != "sent":\n',
                '    if row.state != "never":\n',
            ),
            Patch(
                "resonance_zoom/store/outbox.py",
                "        (FAILED, DROPPED, IN_DOUBT),\n        state=QUEUED,",
                "        (FAILED, DROPPED, IN_DOUBT, SENT),\n        state=QUEUED,",
            ),
        ),
    ),
    one(
        "poison_stops_the_wave",
        "I21",
        "a letter that cannot be made ends the wave, and is the first of the next one",
        "resonance_zoom/delivery.py",
        '            return self._became(claim, outbox.FAILED, unforeseen(error), "error"), None\n',
        '            again = self._became(claim, outbox.QUEUED, "", "error", claim.letter.ready_at)\n'
        '            return again, MailUnreachable("stopped by a letter")\n',
    ),
    one(
        "begins_anew",
        "I22",
        "where a database was lost a new one is begun without a word",
        "resonance_zoom/store/beside.py",
        "    if _note(database).exists():\n        raise",
        "    if not database.parent.exists():\n        raise",
    ),
    one(
        "restore_resurrects",
        "I24",
        "a restore brings those back who were erased since",
        "resonance_zoom/store/erasure.py",
        "    for person in buried:\n        forget(connection, person)\n",
        "    for person in buried:\n        pass\n",
    ),
    one(
        "echo_believed",
        "I24",
        "who was erased comes back with the next list or late announcement",
        "resonance_zoom/learning.py",
        "            if theirs and self._is_echo(item, theirs[-1]):",
        "            if not stones and self._is_echo(item, theirs[-1]):",
    ),
    one(
        "purge_keeps_copies",
        "I24",
        "at the end the backups still hold everybody",
        "resonance_zoom/privacy.py",
        '    journal.remember(connection, LEFTOVERS, {"copies": True})',
        '    journal.remember(connection, LEFTOVERS, {"copies": False})',
    ),
    one(
        "address_in_the_journal",
        "I25",
        "the journal repeats a mail server that names the recipient",
        "resonance_zoom/delivery.py",
        '        words = re.sub(re.escape(address), "…", words, flags=re.IGNORECASE)\n'
        "    return unaddressed(words)",
        "        pass\n    return words",
    ),
    one(
        "silent_drop",
        "I25",
        "a letter that does not go any more is dropped without a line",
        "resonance_zoom/delivery.py",
        '        note_letter(connection, letter, now, "letter.dropped", words, level, reason=reason)',
        "        del words, level",
    ),
    one(
        "calls_untold",
        "I25",
        "a call of Zoom that went well leaves no line",
        "resonance_zoom/service.py",
        "        # A busy database must not hide what Zoom answered.\n",
        "        if not call.error:\n            return\n",
    ),
    one(
        "tries_for_ever",
        "I26",
        "a letter that is put off is tried without an end",
        "resonance_zoom/delivery.py",
        "MAX_ATTEMPTS = 12",
        "MAX_ATTEMPTS = 500",
    ),
    one(
        "asks_all_the_time",
        "I26",
        "Zoom's lists are read every minute",
        "jobs/watch.py",
        "    if doubt:\n        # Zoom's answer",
        '    service.wake("sync_registrants")\n    if doubt:\n        # Zoom\'s answer',
    ),
    one(
        "asks_while_held",
        "I26",
        "while the clock is wrong Zoom's lists are read every minute, for as long as it takes",
        "jobs/watch.py",
        "        if service.guard.doubted_for() < ASK_OFTEN:",
        "        if doubt:",
    ),
    one(
        "challenges_forgotten",
        "I28",
        "that Zoom validates our address no more is no alert",
        "resonance_zoom/web/staff/zoom_alerts.py",
        "    if last is not None and now - last > CHALLENGED_WITHIN:",
        "    if last is None:",
    ),
    one(
        "no_pace",
        "I26",
        "letters leave faster than the relay takes them",
        "resonance_zoom/pace.py",
        "    return min(wanted, math.floor(_filled(connection, campaign.letters_per_minute, now)))",
        "    return wanted",
    ),
    one(
        "disk_untold",
        "I28",
        "a disk that fills up is told to nobody",
        "jobs/watch.py",
        "    _look_at_disk(service)\n    with",
        "    with",
    ),
    one(
        "doubt_untold",
        "I28",
        "letters in doubt are no alert",
        "resonance_zoom/web/staff/alerts.py",
        "    for state in (outbox.FAILED, outbox.IN_DOUBT):",
        "    for state in (outbox.FAILED,):",
    ),
    one(
        "false_alarm",
        "I28",
        "a sweep that finds nothing is a warning",
        "jobs/sync_registrants.py",
        "    return journal.INFO if found.absent else journal.DEBUG",
        "    return journal.WARNING",
    ),
    Mutant(
        "recovery_in_two_steps",
        "I29",
        "a start that dies halfway leaves letters in doubt for ever",
        (
            Patch(
                "resonance_zoom/delivery.py",
                "        settle_doubt(connection, campaign, letter, now)\n    return len(found)",
                "    return found",
            ),
            Patch(
                "resonance_zoom/daemon.py",
                "            letters_in_doubt=recovered,\n        )\n",
                "            letters_in_doubt=len(recovered),\n        )\n"
                "    with service.store.write() as connection:\n"
                "        for letter in recovered:\n"
                "            delivery.settle_doubt(connection, service.campaign, letter, now)\n",
            ),
        ),
    ),
    one(
        "dice_in_the_message_id",
        "I30",
        "a Message-ID is another one each time",
        "resonance_zoom/mail/message.py",
        '    digest = hashlib.sha256("\\n".join(key).encode("utf-8", "replace")).hexdigest()[:32]',
        '    key = (*key, __import__("secrets").token_hex(8))\n'
        '    digest = hashlib.sha256("\\n".join(key).encode("utf-8", "replace")).hexdigest()[:32]',
    ),
    one(
        "edits_not_taken",
        "I7",
        "an edited campaign file is told and not used",
        "jobs/watch.py",
        "    service.take(campaign)\n",
        "",
    ),
)
