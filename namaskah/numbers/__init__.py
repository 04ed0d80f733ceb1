"""Numbers: what is on sale (catalogue), who sells it (routing), and the life of each one bought (activations).

activations buys and receives · closing ends · settling clears up doubt · polling brings SMS · strays keeps the books of
orders nobody wants · pricing makes prices, with rates, which rate_files reads in · presenting is what the pages show.
This room alone speaks to providers, through registry.
"""

from flask import Blueprint

blueprint = Blueprint("numbers", __name__)
activation_blueprint = Blueprint("activations", __name__, url_prefix="/activations")
