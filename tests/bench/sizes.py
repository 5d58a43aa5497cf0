"""How much of everything is measured."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The sizes that the promises name; `rounds` of each, one after the other in turns."""

    rounds: int = 3
    connections: tuple[int, ...] = (1, 16, 64, 256)
    blast_seconds: int = 3
    wave: int = 5_000  # letters
    wave_seconds: int = 15  # after which a wave is broken off
    plain: int = 200  # letters of the plain loop, which is slow
    listed: int = 100_000  # registrants in Zoom's lists
    large: int = 1_000_000  # registrants of the large database
    small: int = 1_000
    looks: int = 5  # at each page
    heavy_wave: int = 100_000  # letters through which the memory is watched
    heavy_seconds: int = 110  # no longer, whatever has left by then
    idle_seconds: int = 30
    starts: int = 5
    acknowledged: int = 300  # notifications under each fault
    rehearsed: tuple[int, ...] = (200, 5_000)
    patience: int = 130  # seconds for a rehearsal


QUICK = Sizes(
    rounds=1,
    connections=(1, 64),
    blast_seconds=1,
    wave=1_000,
    wave_seconds=10,
    plain=50,
    listed=10_000,
    large=50_000,
    looks=3,
    heavy_wave=5_000,
    heavy_seconds=20,
    idle_seconds=10,
    starts=2,
    acknowledged=100,
    rehearsed=(200,),
)
TINY = replace(
    QUICK,
    connections=(1,),
    wave=12,
    plain=2,
    listed=350,
    large=80,
    small=40,
    looks=1,
    heavy_wave=12,
    heavy_seconds=5,
    idle_seconds=1,
    starts=1,
    acknowledged=5,
    rehearsed=(3,),
)
