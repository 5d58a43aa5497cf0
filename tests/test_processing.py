"""The record of processing says what is configured, and names every column that holds a person."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resonance_zoom.service import Service
from resonance_zoom.store import held
from resonance_zoom.store.tables import metadata
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import CAMPAIGN, Type
from tests.kept import run

NBSP = "\u00a0"


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    """A relay elsewhere, with credentials; the rest as everywhere."""
    environ["SMTP_URL"] = "smtp://letters:a-password@relay.example.net:587"
    return environ


def said(types: Type) -> str:
    code, out, err = types("processing-record")
    assert (code, err) == (0, "")
    return out.replace(NBSP, " ")


def test_every_column_of_every_table_is_described_or_known_to_hold_nobody() -> None:
    """Whoever adds a column says in `store/held.py` what it holds of people."""
    assert held.undescribed() == []
    for name, columns in (
        *((name, set(holding.columns)) for name, holding in held.HELD.items()),
        *held.NOBODYS.items(),
    ):
        assert columns == {column.name for column in metadata.tables[name].columns}, name


def test_every_personal_column_stands_in_the_record(service: Service, types: Type) -> None:
    out = said(types)
    for table in ("registrants", "events", "letters", "journal", "sessions", "tombstones"):
        for column in metadata.tables[table].columns:
            assert f" | `{table}.{column.name}` |" in out


def test_a_column_that_nobody_described_is_told_as_lacking(
    types: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = dict(held.HELD["registrants"].columns)
    known.pop("last_name")
    monkeypatch.setitem(
        held.HELD, "registrants", held.Holding("Inscriptions", (held.REGISTRANTS,), known)
    )
    out = said(types)
    assert "| « à compléter » | `*.registrants.last_name` |" in out


def test_the_record_can_be_had_before_the_first_run(types: Type) -> None:
    out = said(types)
    assert out.startswith("# Registre des activités de traitement\n")
    assert "- Base : pas encore créée." in out


def test_the_record_names_who_receives_and_how_long_things_are_kept(
    service: Service, types: Type
) -> None:
    out = said(types)
    for sentence in (
        "Traitement : Mission Résonance (resonance-2021)",
        "- Responsable du traitement : Mission Résonance.",
        "- Contact : contact@example.org.",
        "- Rencontres : Accompagner le développement du télétravail, Réinvestir les espaces"
        " extérieurs à usages publics.",
        "- Consentement, donné en s’inscrivant (article 6.1.a).",
        "- Le serveur de courrier relay.example.net, sous-traitant, et ceux des destinataires.",
        "- Pays du serveur de courrier relay.example.net, et garantie s’il est hors UE :"
        " « à compléter ».",
        "- Personnes inscrites : effacées le 15 avril 2021, 30 jours après la dernière rencontre,",
        "- Sauvegardes : une par jour, les 14 dernières ;",
        "- Lignes techniques du journal : 14 jours.",
        "- Exécutions des tâches : 30 jours.",
        "- Connexions de l’équipe : fermées après 30 minutes sans activité, ou après 10 heures.",
        "- Courrier vers relay.example.net : STARTTLS exigé, certificat vérifié ; rien ne part en"
        " clair.",
        "- Base : ce qui est effacé est écrasé par des zéros (secure_delete).",
        "- Pages de l’équipe : liens personnels à usage unique, deux droits (lecture,"
        " administration).",
        "- Annonces de Zoom : signées et vérifiées (HMAC-SHA256) ; les autres sont refusées.",
        "- Pages (localhost) : sans HTTPS, sur cette machine seulement.",
        "- Délégué à la protection des données : « à compléter ».",
    ):
        assert sentence in out
    for secret in ("a-password", "letters:", "csecret", "0123456789abcdef"):
        assert secret not in out


NOTICES = """
[privacy]
keep_days_after_last = 1
controller = "Université de Tours"
contact = "dpo@example.org"
purpose = "Préparer la résilience."
basis = "Mission d’intérêt public"
recipients = "Le conseil de quartier."

[legal]
host = "Hébergeur Exemple, Tours"
"""


def test_another_campaign_file_makes_another_record(
    service: Service, types: Type, campaign_file: Path
) -> None:
    campaign_file.write_text(
        CAMPAIGN.replace('title = "Réinvestir', 'title = "Rouvrir') + NOTICES,
        encoding="utf-8",
    )
    out = said(types)
    for sentence in (
        "- Responsable du traitement : Université de Tours.",
        "- Contact : dpo@example.org.",
        "- Préparer la résilience.",
        "- Mission d’intérêt public",
        "- Le conseil de quartier.",
        "(Hébergeur Exemple, Tours).",
        "effacées le 17 mars 2021, 1 jour après la dernière rencontre",
        "Rouvrir les espaces extérieurs",
    ):
        assert sentence in out
    assert "Consentement" not in out


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("SMTP_URL", "", "- Courrier : rien n’est envoyé (SMTP_URL n’est pas réglé)."),
        ("SMTP_URL", "", "- Aucun serveur de courrier : les courriers restent dans un dossier"),
        (
            "SMTP_URL",
            "smtps://u:p@mail.example.com",
            "- Courrier vers mail.example.com : TLS dès la connexion, certificat vérifié.",
        ),
        (
            "SMTP_URL",
            "smtp://127.0.0.1:25",
            "- Courrier vers 127.0.0.1 : en clair, sans quitter la machine.",
        ),
        ("SMTP_URL", "smtp://127.0.0.1:25", "- Le serveur de courrier de la machine elle-même"),
        (
            "BOUNCES_URL",
            "imaps://u:p@imap.example.com/INBOX",
            "- Courriers revenus : lus dans la boîte imap.example.com, sans rien y changer ;",
        ),
        ("PUBLIC_URL", "https://resonance.example.org", "- Pages (resonance.example.org) : HTTPS."),
        ("WEBHOOKS", "off", "- Aucune annonce de Zoom n’est reçue (WEBHOOKS=off) ;"),
        ("ZOOM_API_URL", "https://api.zoomgov.com/v2", "(API : api.zoomgov.com)."),
    ],
)
def test_another_environment_makes_another_record(
    name: str, value: str, sentence: str, types: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sentence not in said(types)
    monkeypatch.setenv(name, value)
    assert sentence in said(types)


def test_files_that_others_can_read_are_not_told_as_safe(service: Service, types: Type) -> None:
    assert "lisibles du seul utilisateur du service (600, dossiers 700)" in said(types)
    service.store.path.chmod(0o644)
    out = said(types)
    assert "- FICHIERS OUVERTS À D’AUTRES sur cette machine, à fermer : " in out
    assert "lisibles du seul utilisateur" not in out


def test_a_meeting_that_was_moved_on_zoom_to_a_later_day_moves_the_end_of_keeping(
    service: Service, types: Type, zoom: SimulatedZoom
) -> None:
    run(service, "create_meetings")
    last = max(zoom.meetings.values(), key=lambda one: one.start_time)
    zoom.edit_meeting(last.id, start_time=datetime(2021, 4, 1, 8, tzinfo=UTC))
    run(service, "create_meetings")
    assert "effacées le 1er mai 2021, 30 jours après" in said(types)


def test_the_record_as_json_has_the_headings_of_the_law(service: Service, types: Type) -> None:
    code, out, _ = types("processing-record", "--json")
    found = json.loads(out)
    assert code == 0
    assert list(found) == [
        "processing", "controller", "purposes", "legal_basis", "persons", "data", "recipients",
        "transfers", "retention", "security",
    ]  # fmt: skip
    first = found["data"][0]
    assert (first["table"], first["of"]) == ("registrants", ["personnes inscrites"])
    assert first["columns"]["join_url"] == "lien personnel vers la rencontre"
