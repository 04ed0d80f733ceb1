"""Upstreams that sell numbers. `base` is what we ask of each and the three ways it may fail; one adapter per protocol:

fivesim         5sim.net
sms_activate    the SMS-Activate protocol, with sms_activate_answers (what its words mean) and price_lists (its shapes)
listing         a provider's list of orders, page by page
answers         what every adapter needs to read an answer it does not trust
"""
