"""The old place of files.read_trusted, until the command line calls that."""

from facauth.files import Exposed as Exposed
from facauth.files import read_trusted as read_trusted
