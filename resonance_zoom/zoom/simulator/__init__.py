"""A Zoom on loopback: OAuth, meetings, registrants, limits, signed webhooks and their retries.

For tests, rehearsals and the demonstration only. `SimulatedZoom` is the truth and what people do
on Zoom's pages; `SimulatorServer` answers the API over real HTTP; `world.faults` switches on what
goes wrong.

    world = SimulatedZoom(now=clock)
    with SimulatorServer(world) as zoom:
        world.subscribe("http://127.0.0.1:8000/webhooks/zoom")
        …                        # the service talks to zoom.api_url and zoom.oauth_url
        world.register(meeting_id, email="alice@example.org", first_name="Alice")
        world.deliver_due()      # POST what is due by the world's clock
"""

from resonance_zoom.zoom.simulator.deliveries import CHALLENGE_EVERY, Delivery
from resonance_zoom.zoom.simulator.faults import Faults
from resonance_zoom.zoom.simulator.records import (
    Refusal,
    SimCall,
    SimMeeting,
    SimParticipant,
    SimRegistrant,
)
from resonance_zoom.zoom.simulator.server import SimulatorServer
from resonance_zoom.zoom.simulator.world import SimulatedZoom

__all__ = [
    "CHALLENGE_EVERY",
    "Delivery",
    "Faults",
    "Refusal",
    "SimCall",
    "SimMeeting",
    "SimParticipant",
    "SimRegistrant",
    "SimulatedZoom",
    "SimulatorServer",
]
