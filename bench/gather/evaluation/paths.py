"""Where things lie."""
from lib.paths import BUILD

WORK = BUILD / "gather"
