"""Words in stroke fonts, for signs, posters and book spines."""

import cv2
import numpy as np

_WORDS = tuple(
    """ANCHOR APRIL ARCADE ATLAS AURORA BAKERY BAZAAR BLUE BRIDGE CAFE CANDLE CEDAR CINEMA CITRUS CORNER DELTA DOCK
    EAST ECHO ELEVEN EMBER FERRY FIELD FLORA FOCUS FOX GALLERY GARDEN GLASS GRAND HARBOUR HAZEL HONEY HOTEL INDIGO
    IRIS ISLAND JUNE KIOSK LEMON LENS LIGHT LINDEN LOTUS LUMEN LUNA MAPLE MARKET MERIDIAN METRO MILL MINT MOSS MUSEUM
    MUSIC NORTH NOVA OAK OCEAN OLIVE OPEN OPTICS ORCHARD PAPER PARADE PEARL PIANO PINE PLAZA POLAR POPPY PRISM RADIO
    RIVER ROSE SALT SATURN SEVEN SHORE SILK SOLAR SOUTH STATION STONE SUMMER TEA THEATRE TIDE TIMBER TULIP VELVET
    VILLA VIOLET WEST WILLOW WINTER YELLOW ZENITH""".split()
)

# Font and stroke weight relative to the height of its capitals.
_FONTS = (
    (cv2.FONT_HERSHEY_SIMPLEX, 0.16),
    (cv2.FONT_HERSHEY_SIMPLEX, 0.22),
    (cv2.FONT_HERSHEY_DUPLEX, 0.12),
    (cv2.FONT_HERSHEY_COMPLEX, 0.09),
    (cv2.FONT_HERSHEY_TRIPLEX, 0.11),
)


def word(*, rng: np.random.Generator, longest: int = 99) -> str:
    """A word in capitals of at most `longest` letters."""
    fitting = [w for w in _WORDS if len(w) <= longest]
    return fitting[rng.integers(len(fitting))]


def font(*, rng: np.random.Generator) -> tuple[int, float]:
    """An OpenCV font and a stroke weight that suits it, relative to the height of its capitals."""
    return _FONTS[rng.integers(len(_FONTS))]
