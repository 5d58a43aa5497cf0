"""Those who have registered before the newcomer looks: invented people, so that pages show some."""

from collections.abc import Mapping
from dataclasses import dataclass

from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom
from resonance_zoom.zoom.simulator.validation import RegistrantFields


@dataclass(frozen=True, slots=True)
class Person:
    """`groups` counts from 0, in the order of the dates; `becomes` what staff would find odd."""

    first_name: str
    last_name: str
    email: str
    groups: tuple[int, ...]
    becomes: str = "approved"


PEOPLE = (
    Person("Maëlle", "Le Goff", "maelle.legoff@example.org", (0, 2)),
    Person("Yann", "Kerbrat", "yann.kerbrat@example.org", (0,)),
    Person("Aïcha", "Benali", "aicha.benali@example.net", (0, 1, 3)),
    Person("Jean-Noël", "Œuvrard", "jn.oeuvrard@example.org", (0,)),
    Person("Soizic", "Tanguy", "soizic.tanguy@example.com", (1,)),
    Person("Hervé", "d’Argentré", "herve@example.net", (1,), "cancelled"),
    Person("Nolwenn", "Caradec", "nolwenn.caradec@example.org", (1, 2)),
    Person("Thi Lan", "Nguyễn", "lan.nguyen@example.com", (2,)),
    Person("François", "Prigent", "f.prigent@example.net", (2,)),
    Person("Gaëtane", "Morvan", "gaetane.morvan@example.org", (3,)),
    Person("Émile", "Zeroual", "emile.zeroual@example.org", (3,), "pending"),
    Person("Rozenn", "Quéré", "rozenn.quere@example.com", (3,)),
)


def register_all(world: SimulatedZoom, meetings: Mapping[int, SimMeeting]) -> None:
    """Everybody fills in Zoom's page; then one gives up their place. `meetings` counts from 0.

    A campaign with fewer groups leaves out the registrations for those that it lacks.
    """
    places = [(one, meetings[group]) for one in PEOPLE for group in one.groups if group in meetings]
    for person, meeting in places:
        form = RegistrantFields(person.email, person.first_name, person.last_name)
        with world.lock:
            status = "pending" if person.becomes == "pending" else None
            world.add_registrant(meeting, form, status=status)
    for person, meeting in places:
        if person.becomes == "cancelled":
            world.cancel(meeting.id, email=person.email)
