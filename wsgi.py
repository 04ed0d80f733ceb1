"""What the web server and the flask command load."""

import sys

from namaskah import create_app, logs

app = create_app()
# The output of a command is its answer; what it logs goes beside it. Web server and worker log to the output itself.
logs.configure(app.config, sys.stderr)
