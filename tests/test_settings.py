"""The environment becomes Settings, or every bad value is told at once and no secret is shown."""

import re
from pathlib import Path

import pytest

from resonance_zoom.errors import SettingsError
from resonance_zoom.settings import (
    RUN_NEEDS,
    SECRETS,
    ZOOM_NEEDS,
    Secret,
    Settings,
    _Reader,
    is_loopback,
    load_settings,
)

KEY = "0123456789abcdef0123456789abcdef"  # 32 bytes
EXAMPLE = Path(__file__).parent.parent / ".env.example"


@pytest.fixture
def dotenv(tmp_path: Path) -> Path:
    """Where .env would be; a test writes it when it wants one."""
    return tmp_path / ".env"


def settings(dotenv: Path, needs: frozenset[str] = frozenset(), /, **environ: str) -> Settings:
    return load_settings(needs=needs, environ=environ, dotenv=dotenv)


def problems(
    dotenv: Path, needs: frozenset[str] = frozenset(), /, **environ: str
) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        settings(dotenv, needs, **environ)
    assert caught.value.exit_code == 78
    return caught.value.problems


class TestDefaults:
    def test_an_empty_environment_is_enough_to_read_what_is_known(self, dotenv: Path) -> None:
        assert settings(dotenv) == Settings(
            campaign_file=Path("config/campaign.toml"),
            database_url=Secret("sqlite:///var/resonance.db"),
            smtp_url=None,
            mail_from=None,
            zoom_account_id=Secret(""),
            zoom_client_id=Secret(""),
            zoom_client_secret=Secret(""),
            zoom_webhook_secrets=(),
            zoom_api_url="https://api.zoom.us/v2",
            zoom_oauth_url="https://zoom.us/oauth/token",
            webhooks=True,
            secret_key=Secret(""),
            public_url="http://localhost:8000",
            host="127.0.0.1",
            port=8000,
            log_format=None,
        )

    def test_an_empty_value_means_the_default(self, dotenv: Path) -> None:
        assert settings(dotenv, PORT="", WEBHOOKS=" ", SMTP_URL="") == settings(dotenv)

    def test_the_process_s_own_environment_is_read_unless_another_is_given(
        self, dotenv: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PORT", "8123")
        assert load_settings(dotenv=dotenv).port == 8123

    def test_data_lie_beside_the_database_file(self, dotenv: Path) -> None:
        assert settings(dotenv).data_dir == Path("var")
        assert settings(dotenv, DATABASE_URL="sqlite:////srv/z/r.db").data_dir == Path("/srv/z")
        elsewhere = settings(dotenv, DATABASE_URL="postgresql+psycopg://u:p@host/name")
        assert elsewhere.data_dir == Path("var")


class TestDotenv:
    def test_the_file_is_read(self, dotenv: Path) -> None:
        dotenv.write_text("# a remark\nPORT=9000\nexport MAIL_FROM='a@example.org'\n")
        read = settings(dotenv)
        assert (read.port, read.mail_from) == (9000, "a@example.org")

    def test_a_real_variable_wins_over_the_file(self, dotenv: Path) -> None:
        dotenv.write_text("PORT=9000\nHOST=127.0.0.2\n")
        read = settings(dotenv, PORT="9001")
        assert (read.port, read.host) == (9001, "127.0.0.2")

    def test_a_bad_value_in_the_file_does_not_matter_when_a_real_one_replaces_it(
        self, dotenv: Path
    ) -> None:
        dotenv.write_text("PORT=many\n")
        assert settings(dotenv, PORT="9001").port == 9001
        assert problems(dotenv) == ("PORT: 'many' must be a number from 0 to 65535",)


class TestSecretFiles:
    def test_a_secret_may_lie_in_a_file(self, dotenv: Path, tmp_path: Path) -> None:
        path = tmp_path / "secret"
        path.write_text("  s3cr3t-é\n", encoding="utf-8")
        read = settings(dotenv, ZOOM_CLIENT_SECRET_FILE=str(path))
        assert str(read.zoom_client_secret) == "s3cr3t-é"

    @pytest.mark.parametrize("name", sorted(SECRETS))
    def test_every_secret_has_such_a_twin(self, name: str, dotenv: Path, tmp_path: Path) -> None:
        path = tmp_path / "missing"
        told = problems(dotenv, **{f"{name}_FILE": str(path)})
        assert told == (
            (
                f"{name}_FILE: cannot read {path} (No such file or directory);"
                " it must be a readable text file"
            ),
        )

    def test_the_variable_itself_wins_over_its_file(self, dotenv: Path, tmp_path: Path) -> None:
        path = tmp_path / "secret"
        path.write_text("from the file")
        read = settings(dotenv, ZOOM_CLIENT_ID="here", ZOOM_CLIENT_ID_FILE=str(path))
        assert str(read.zoom_client_id) == "here"

    def test_a_file_satisfies_a_need(self, dotenv: Path, tmp_path: Path) -> None:
        path = tmp_path / "secret"
        path.write_text(KEY)
        read = settings(dotenv, frozenset({"SECRET_KEY"}), SECRET_KEY_FILE=str(path))
        assert str(read.secret_key) == KEY

    def test_a_file_that_is_no_text_is_told(self, dotenv: Path, tmp_path: Path) -> None:
        path = tmp_path / "secret"
        path.write_bytes(b"\xff\xfe\x00")
        assert problems(dotenv, SMTP_URL_FILE=str(path)) == (
            f"SMTP_URL_FILE: cannot read {path} (not a text file); it must be a readable text file",
        )

    def test_what_is_no_secret_is_not_read_from_a_file(self, dotenv: Path, tmp_path: Path) -> None:
        path = tmp_path / "port"
        path.write_text("9000")
        assert settings(dotenv, PORT_FILE=str(path)).port == 8000


class TestNeeds:
    def test_every_missing_name_is_told_with_where_to_find_it(self, dotenv: Path) -> None:
        app = "from the Server-to-Server OAuth app on marketplace.zoom.us (README, step 1)"
        assert problems(dotenv, RUN_NEEDS) == (
            (
                "SECRET_KEY: missing; at least 32 bytes of our own;"
                " make one with: openssl rand -hex 32"
            ),
            f"ZOOM_ACCOUNT_ID: missing; {app}",
            f"ZOOM_CLIENT_ID: missing; {app}",
            f"ZOOM_CLIENT_SECRET: missing; {app}",
            (
                "ZOOM_WEBHOOK_SECRET_TOKEN: missing; the app's Secret Token, under"
                " Feature › Event Subscriptions; or WEBHOOKS=off on a machine without a public"
                " address"
            ),
        )

    def test_polling_only_needs_no_webhook_secret(self, dotenv: Path) -> None:
        told = problems(dotenv, RUN_NEEDS, WEBHOOKS="off")
        assert [line.partition(":")[0] for line in told] == [
            "SECRET_KEY",
            "ZOOM_ACCOUNT_ID",
            "ZOOM_CLIENT_ID",
            "ZOOM_CLIENT_SECRET",
        ]

    def test_what_asks_zoom_needs_the_three_names_of_the_app(self, dotenv: Path) -> None:
        read = settings(
            dotenv, ZOOM_NEEDS, ZOOM_ACCOUNT_ID="a", ZOOM_CLIENT_ID="b", ZOOM_CLIENT_SECRET="c"
        )
        assert (read.zoom_account_id, read.zoom_client_id, read.zoom_client_secret) == (
            "a",
            "b",
            "c",
        )


class TestValues:
    def test_every_bad_value_is_told_at_once(self, dotenv: Path) -> None:
        told = problems(
            dotenv,
            frozenset({"ZOOM_ACCOUNT_ID"}),
            WEBHOOKS="perhaps",
            DATABASE_URL="mysql://host/name",
            SMTP_URL="mail.example.org",
            ZOOM_WEBHOOK_SECRET_TOKEN="one,two,three",
            SECRET_KEY="short",
            PUBLIC_URL="http://example.org",
            PORT="70000",
            LOG_FORMAT="xml",
        )
        assert sorted(line.partition(":")[0] for line in told) == [
            "DATABASE_URL",
            "LOG_FORMAT",
            "PORT",
            "PUBLIC_URL",
            "SECRET_KEY",
            "SMTP_URL",
            "WEBHOOKS",
            "ZOOM_ACCOUNT_ID",
            "ZOOM_WEBHOOK_SECRET_TOKEN",
        ]

    @pytest.mark.parametrize(
        ("name", "value", "told"),
        [
            ("WEBHOOKS", "yes", "'yes' must be 'on' or 'off'"),
            ("LOG_FORMAT", "xml", "'xml' must be 'text' or 'json'"),
            ("PORT", "-1", "'-1' must be a number from 0 to 65535"),
            ("PORT", "65536", "'65536' must be a number from 0 to 65535"),
            ("PORT", "80 80", "'80 80' must be a number from 0 to 65535"),
            ("PORT", "\u0668\u0660", "'\u0668\u0660' must be a number from 0 to 65535"),
            (
                "PUBLIC_URL",
                "http://example.org",
                "'http://example.org' must be https://… (http:// only on this machine)",
            ),
            (
                "PUBLIC_URL",
                "example.org",
                "'example.org' must be https://… (http:// only on this machine)",
            ),
            (
                "ZOOM_API_URL",
                "http://api.zoom.us/v2",
                "'http://api.zoom.us/v2' must be https://… (http:// only on this machine)",
            ),
            (
                "ZOOM_OAUTH_URL",
                "ftp://zoom.us",
                "'ftp://zoom.us' must be https://… (http:// only on this machine)",
            ),
        ],
    )
    def test_a_bad_value_names_itself_and_what_would_be_right(
        self, name: str, value: str, told: str, dotenv: Path
    ) -> None:
        assert problems(dotenv, **{name: value}) == (f"{name}: {told}",)

    @pytest.mark.parametrize(
        "url",
        ["http://localhost:8000", "http://127.0.0.1:9", "http://127.8.8.8", "http://[::1]:80"],
    )
    def test_plain_http_is_for_this_machine(self, url: str, dotenv: Path) -> None:
        assert settings(dotenv, PUBLIC_URL=url, ZOOM_API_URL=url).public_url == url

    @pytest.mark.parametrize(
        ("host", "here"),
        [
            ("localhost", True),
            ("127.0.0.1", True),
            ("::1", True),
            ("example.org", False),
            ("localhost.example.org", False),
            ("10.0.0.1", False),
            ("", False),
            (None, False),
        ],
    )
    def test_loopback_is_this_machine_and_nothing_else(self, host: str | None, here: bool) -> None:
        assert is_loopback(host) is here

    def test_an_address_loses_its_last_slash(self, dotenv: Path) -> None:
        """Paths are put after it."""
        read = settings(dotenv, PUBLIC_URL="https://example.org/")
        assert read.public_url == "https://example.org"

    def test_one_webhook_secret_or_two_while_they_are_changed(self, dotenv: Path) -> None:
        one = settings(dotenv, ZOOM_WEBHOOK_SECRET_TOKEN="new")
        two = settings(dotenv, ZOOM_WEBHOOK_SECRET_TOKEN=" new , old ,")
        assert one.zoom_webhook_secrets == ("new",)
        assert two.zoom_webhook_secrets == ("new", "old")
        assert problems(dotenv, ZOOM_WEBHOOK_SECRET_TOKEN="a,b,c") == (
            (
                "ZOOM_WEBHOOK_SECRET_TOKEN: holds 3 secrets;"
                " at most two (the new and the old one), separated by a comma"
            ),
        )

    def test_a_key_is_measured_in_bytes(self, dotenv: Path) -> None:
        assert settings(dotenv, SECRET_KEY="é" * 16).secret_key == "é" * 16
        assert problems(dotenv, SECRET_KEY="a" * 31) == (
            "SECRET_KEY: must be at least 32 bytes; make one with: openssl rand -hex 32",
        )

    @pytest.mark.parametrize("url", ["smtp://u:p@mail.example.org:587", "smtps://mail.example.org"])
    def test_mail_goes_by_smtp_or_smtps(self, url: str, dotenv: Path) -> None:
        assert settings(dotenv, SMTP_URL=url).smtp_url == url

    @pytest.mark.parametrize(
        "url",
        [
            "imaps://contact%40example.org:p%40ss@imap.example.org/INBOX",
            "imaps://u:p@imap.example.org:1993",
            "imaps://u:%C3%A9t%C3%A9@imap.example.org/Courriers%20revenus",
            "imap://u:p@127.0.0.1/INBOX",
            "imap://u:p@localhost:1143",
        ],
    )
    def test_a_mailbox_is_read_by_imaps_or_on_this_machine(self, url: str, dotenv: Path) -> None:
        assert settings(dotenv, BOUNCES_URL=url).bounces_url == url

    @pytest.mark.parametrize(
        "url",
        [
            "imap://u:p@imap.example.org/INBOX",
            "imap://u:p@127.0.0.1.example.org/INBOX",
            "pop3s://u:p@imap.example.org",
            "imaps://imap.example.org/INBOX",
            "imaps://u@imap.example.org/INBOX",
            "imaps://u:p@imap.example.org:0",
            "imaps://u:p@/INBOX",
            "imaps://u%0d%0aa1:p@imap.example.org/INBOX",
            "imaps://u:p%00@imap.example.org/INBOX",
            "imaps://u:p@imap.example.org/INBOX%0d%0aa2%20DELETE%20INBOX",
            "imaps://u:p@imap.example.org/Revenus%C3%A9",
            "imaps://u:p@imap.example.org/INBOX?x=1",
        ],
    )
    def test_another_mailbox_is_refused_and_its_password_not_shown(
        self, url: str, dotenv: Path
    ) -> None:
        assert problems(dotenv, BOUNCES_URL=url) == (
            "BOUNCES_URL: must be imaps://USER:PASSWORD@HOST/INBOX (imap:// only on this machine)",
        )

    def test_words_may_be_written_in_capitals(self, dotenv: Path) -> None:
        read = settings(dotenv, WEBHOOKS="OFF", LOG_FORMAT="JSON")
        assert (read.webhooks, read.log_format) == (False, "json")


class TestHostSenderAndPublicAddress:
    @pytest.mark.parametrize("value", ["0.0.0.0", "::1", "localhost", "zoom-1.mairie.test"])
    def test_a_host_is_a_number_or_a_name(self, dotenv: Path, value: str) -> None:
        assert settings(dotenv, HOST=value).host == value

    @pytest.mark.parametrize("value", ["not a host", "http://x", "127.0.0.1:8000", "-x", "a/b"])
    def test_what_is_no_host_is_named(self, dotenv: Path, value: str) -> None:
        assert problems(dotenv, HOST=value) == (
            f"HOST: {value!r} must be an address of this machine, or its name",
        )

    @pytest.mark.parametrize("value", ["a@example.org", "Lettres <a@example.org>"])
    def test_a_sender_is_an_address_with_or_without_a_name(self, dotenv: Path, value: str) -> None:
        assert settings(dotenv, MAIL_FROM=value).mail_from == value

    @pytest.mark.parametrize(
        "value", ["nobody", "a@", "@x.org", "a@b", "a b@x.org", "a@x.org, b@x.org", "<a@x.org"]
    )
    def test_what_is_no_sender_is_named(self, dotenv: Path, value: str) -> None:
        assert problems(dotenv, MAIL_FROM=value) == (
            f"MAIL_FROM: {value!r} must be an address such as contact@example.org",
        )

    @pytest.mark.parametrize(
        "value", ["https://x.org/?a=1", "https://x.org/#top", "https://x.org?"]
    )
    def test_a_public_address_ends_before_query_and_fragment(
        self, dotenv: Path, value: str
    ) -> None:
        assert problems(dotenv, PUBLIC_URL=value) == (
            f"PUBLIC_URL: {value!r} must end before any ? or #, such as https://example.org",
        )


class TestNoSecretIsShown:
    def test_settings_can_be_printed(self, dotenv: Path) -> None:
        read = settings(
            dotenv,
            **dict.fromkeys(SECRETS - {"DATABASE_URL", "SMTP_URL", "BOUNCES_URL"}, f"hunter2{KEY}"),
            DATABASE_URL="postgresql+psycopg://u:hunter2@host/name",
            SMTP_URL="smtp://u:hunter2@host",
            BOUNCES_URL="imaps://u:hunter2@host",
        )
        assert "hunter2" in read.database_url
        assert "hunter2" not in f"{read!r} {read}"
        assert repr(read.zoom_webhook_secrets) == "(***,)"

    @pytest.mark.parametrize(
        "environ",
        [
            {"SECRET_KEY": "hunter2"},
            {"DATABASE_URL": "mysql://u:hunter2@host/name"},
            {"SMTP_URL": "http://u:hunter2@host"},
            {"BOUNCES_URL": "imap://u:hunter2@host"},
            {"ZOOM_WEBHOOK_SECRET_TOKEN": "hunter2,hunter2,hunter2"},
        ],
    )
    def test_a_bad_secret_is_told_without_its_value(
        self, environ: dict[str, str], dotenv: Path
    ) -> None:
        (told,) = problems(dotenv, **environ)
        assert "hunter2" not in told
        assert told.startswith(next(iter(environ)))


class _Asked(dict[str, str]):
    """An environment that notes which names are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, key: str, default: str = "") -> str:  # type: ignore[override]  # texts only
        self.names.add(key)
        return super().get(key, default)


class TestExample:
    """.env.example"""

    def test_it_names_exactly_what_is_read(self) -> None:
        asked = _Asked()
        _Reader(asked).settings(())
        twins = {f"{name}_FILE" for name in SECRETS}
        assert twins <= asked.names
        assert _named() == sorted(asked.names - twins)

    def test_each_name_has_its_line_of_explanation_above_it(self) -> None:
        lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
        for before, above, line in zip(lines, lines[1:], lines[2:], strict=False):
            if re.match(r"(# )?[A-Z_]+=", line):
                assert before == ""
                assert re.match(r"# .{10,}\.?$", above)

    def test_it_says_that_secrets_may_lie_in_files(self) -> None:
        assert "NAME_FILE" in EXAMPLE.read_text(encoding="utf-8")

    def test_what_must_be_filled_in_is_what_the_daemon_needs_and_holds_nothing(self) -> None:
        text = EXAMPLE.read_text(encoding="utf-8")
        assert set(re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE)) == {
            (name, "") for name in RUN_NEEDS
        }

    def test_the_remarks_show_the_defaults(self, dotenv: Path) -> None:
        without_default = ("SMTP_URL", "BOUNCES_URL", "MAIL_FROM", "LOG_FORMAT")
        text = re.sub(r"^# (?=[A-Z_]+=)", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.M)
        shown = [line for line in text.splitlines() if not line.startswith(without_default)]
        dotenv.write_text("\n".join(shown), encoding="utf-8")
        assert settings(dotenv) == settings(dotenv.with_name("none"))

    def test_the_examples_without_a_default_are_right_too(self, dotenv: Path) -> None:
        text = re.sub(r"^# (?=[A-Z_]+=)", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.M)
        dotenv.write_text(text, encoding="utf-8")
        read = settings(dotenv)
        assert read.smtp_url == "smtp://USER:PASSWORD@mail.example.org:587"
        assert read.bounces_url == "imaps://USER:PASSWORD@imap.example.org/INBOX"
        assert (read.mail_from, read.log_format) == ("contact@example.org", "json")


def _named() -> list[str]:
    text = EXAMPLE.read_text(encoding="utf-8")
    return sorted(re.findall(r"^(?:# )?([A-Z_]+)=", text, re.MULTILINE))


@pytest.mark.parametrize(
    ("value", "trusted"),
    [
        ("", ("127.0.0.1", "::1")),
        ("172.17.0.1", ("172.17.0.1",)),
        (" 172.30.57.0/24 , fd00::/64,", ("172.30.57.0/24", "fd00::/64")),
    ],
)
def test_the_proxies_that_are_believed(dotenv: Path, value: str, trusted: tuple[str, ...]) -> None:
    assert settings(dotenv, TRUSTED_PROXIES=value).trusted_proxies == trusted


@pytest.mark.parametrize(
    "value", ["*", "0.0.0.0/0", "::/0", "caddy", "172.30.57.1/24", "127.0.0.1;::1"]
)
def test_not_everybody_is_believed(dotenv: Path, value: str) -> None:
    """Whoever is believed says who they are, and is counted as whoever they say."""
    (problem,) = problems(dotenv, TRUSTED_PROXIES=value)
    assert problem.startswith(f"TRUSTED_PROXIES: {value!r} must be an address or a network")
