# syntax=docker/dockerfile:1
# One image for web, worker and migrations. Two stages: what builds stays behind, what runs holds no compiler, no pip
# and no git, belongs to root and is run by somebody else, so that a process that is broken into cannot change its code.
# `ops/dockerfile_steps.py` carries the steps out where there is no container engine.

FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /srv/namaskah
RUN python -m venv /opt/venv
COPY requirements.txt ./
RUN /opt/venv/bin/pip install --require-hashes --only-binary :all: -r requirements.txt
COPY babel.cfg ./
COPY translations ./translations
RUN /opt/venv/bin/pybabel -q compile -d translations \
    && /opt/venv/bin/pip uninstall -q -y pip setuptools

FROM python:3.11-slim-bookworm AS run
# pg_dump and pg_restore, for backups. Of two versions, because what 17 and later write older servers do not take: 16 is
# for servers of 15 and 16, 18 for those of 17 and 18 (backups/programs.py).
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates gnupg postgresql-common \
    && /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y \
    && apt-get install -y --no-install-recommends postgresql-client-16 postgresql-client-18 \
    && apt-get purge -y --auto-remove gnupg postgresql-common \
    && rm -rf /var/lib/apt/lists/* \
    && python -m pip uninstall -q -y pip setuptools wheel
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin namaskah
WORKDIR /srv/namaskah
COPY --from=build /opt/venv /opt/venv
COPY gunicorn.conf.py wsgi.py ./
COPY migrations ./migrations
COPY namaskah ./namaskah
COPY --from=build /srv/namaskah/translations ./translations
# Compiled here, because nothing can be written where it runs.
RUN /opt/venv/bin/python -m compileall -q namaskah migrations gunicorn.conf.py wsgi.py
ARG COMMIT=""
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FLASK_APP=wsgi \
    HOST=0.0.0.0 \
    PORT=8000 \
    DRAIN_SECONDS=5 \
    COMMIT=$COMMIT
USER 10001:10001
EXPOSE 8000
# gunicorn takes SIGTERM as the order to drain; as process 1 it is the one who gets it.
STOPSIGNAL SIGTERM
# For the web; the worker has no port, and whoever starts it switches this off.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health/live', timeout=2)"]
CMD ["gunicorn", "wsgi:app"]
