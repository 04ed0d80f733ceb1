"""Push to the page. A verb says what changed; every open page of that user is drawn afresh and told.

`publish()` names the change in Redis, after the commit. Each web process hears all names (subscription), hands them to
the pages it serves (pages), and every page's own socket draws the present state and sends it (views). Nothing but names
travels through Redis, so a push shows what the database holds now, in the viewer's language, and a lost one loses
nothing: the page gets everything again when it connects, and polls while it is not connected.
"""

from namaskah.live.pages import SERVICE_RESTART, close_each, count, cut_all
from namaskah.live.publishing import publish, publish_on_commit
from namaskah.live.views import SESSION, blueprint, renderers

__all__ = [
    "SERVICE_RESTART",
    "SESSION",
    "blueprint",
    "close_each",
    "count",
    "cut_all",
    "publish",
    "publish_on_commit",
    "renderers",
]
