"""The seed of everything random, the same for all tests of a process."""

from __future__ import annotations

import os
import random
from typing import Final

VARIABLE: Final = "TESTS_SEED"
SEED: Final = int(os.environ.get(VARIABLE) or random.SystemRandom().getrandbits(32))
