"""Delivery reports as real mail servers write them, about a letter of ours."""

from email import message_from_bytes

POSTFIX = """\
Return-Path: <>
Date: Mon, 11 Jan 2021 11:05:00 +0100 (CET)
From: MAILER-DAEMON@relay.example.net (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: contact@example.org
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="9B5E0380.1610359500/relay.example.net"
Message-Id: <20210111100500.ABCDEF@relay.example.net>

This is a MIME-encapsulated message.

--9B5E0380.1610359500/relay.example.net
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host relay.example.net.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

<{recipient}>: host mx.example.org said: {said}

--9B5E0380.1610359500/relay.example.net
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example.net
X-Postfix-Queue-ID: 9B5E0380
X-Postfix-Sender: rfc822; contact@example.org
Arrival-Date: Mon, 11 Jan 2021 11:04:58 +0100 (CET)

Final-Recipient: rfc822; {recipient}
Original-Recipient: rfc822;{recipient}
Action: {action}
Status: {status}
Remote-MTA: dns; mx.example.org
Diagnostic-Code: smtp; {said}

--9B5E0380.1610359500/relay.example.net
Content-Description: Undelivered Message{headers_alone}
Content-Type: {kind}
Content-Transfer-Encoding: 8bit

{letter}
--9B5E0380.1610359500/relay.example.net--
"""

EXCHANGE = """\
From: Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@example.com>
To: <contact@example.org>
Date: Mon, 11 Jan 2021 10:05:01 +0000
Content-Type: multipart/report; report-type=delivery-status;
 boundary="4cbd2d1b-6a5c-4d3e-9c55-27f3a42e5cb8"
Content-Language: en-US
Message-ID: <95aa2b7d-9b22-4a0e-9c0e-1b3c3c3e7b11@mail.example.com>
Subject: =?utf-8?Q?Non_remis=C2=A0:_Votre_lien?=
Auto-Submitted: auto-replied
X-MS-Exchange-Message-Is-Ndr:
MIME-Version: 1.0

--4cbd2d1b-6a5c-4d3e-9c55-27f3a42e5cb8
Content-Type: multipart/alternative; differences=Content-Type;
 boundary="bbc2c4ff-2b3d-4a5c-8f0a-bb5d0f5c2f6f"

--bbc2c4ff-2b3d-4a5c-8f0a-bb5d0f5c2f6f
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: base64

TGEgcmVtaXNlIGEgw6ljaG91w6ku

--bbc2c4ff-2b3d-4a5c-8f0a-bb5d0f5c2f6f
Content-Type: text/html; charset="utf-8"
Content-Transfer-Encoding: quoted-printable

<html><body><p>La remise a =C3=A9chou=C3=A9.</p></body></html>

--bbc2c4ff-2b3d-4a5c-8f0a-bb5d0f5c2f6f--

--4cbd2d1b-6a5c-4d3e-9c55-27f3a42e5cb8
Content-Type: message/delivery-status

Reporting-MTA: dns;PR0P264MB0000.mail.example.com
Received-From-MTA: dns;relay.example.net
Arrival-Date: Mon, 11 Jan 2021 10:05:00 +0000

Final-recipient: RFC822;{recipient}
Action: {action}
Status: {status}
Diagnostic-Code: smtp;{said}

--4cbd2d1b-6a5c-4d3e-9c55-27f3a42e5cb8
Content-Type: {kind}

{letter}
--4cbd2d1b-6a5c-4d3e-9c55-27f3a42e5cb8--
"""

UNKNOWN = "550 5.1.1 <{recipient}>: Recipient address rejected: no such user"


def report(
    letter: bytes,
    *,
    recipient: str = "",
    shape: str = POSTFIX,
    whole: bool = False,
    action: str = "failed",
    status: str = "5.1.1",
    said: str = UNKNOWN,
) -> bytes:
    """What a server sends back about `letter`, the bytes that it was given."""
    recipient = recipient or str(message_from_bytes(letter)["To"])
    text = letter.decode().replace("\r\n", "\n")
    return shape.format(
        recipient=recipient,
        action=action,
        status=status,
        said=said.format(recipient=recipient),
        headers_alone="" if whole else " Headers",
        kind="message/rfc822" if whole else "text/rfc822-headers",
        letter=text if whole else text.partition("\n\n")[0] + "\n",
    ).encode()
