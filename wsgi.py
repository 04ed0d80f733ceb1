"""What the web server and the flask command load."""

from namaskah import create_app

app = create_app()
