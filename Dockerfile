# Mirada's web server and worker in one image; docker-compose.yml chooses the command.
# Size: about 0.7 GB, which serves the bundled model, and others' exported graphs, on a CPU.
# --build-arg REQUIREMENTS=requirements.txt adds PyTorch, for any model and for a GPU: about 6 GB.

FROM python:3.12-slim-bookworm AS packages
ARG REQUIREMENTS=requirements-light.txt
WORKDIR /build
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY dev/installer.txt requirements-light.txt requirements.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r installer.txt \
    && uv pip install --no-cache --python /opt/venv/bin/python --compile-bytecode \
        --require-hashes -r "$REQUIREMENTS"

FROM python:3.12-slim-bookworm
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin mirada \
    && mkdir -p /app/faiss_indexes /data \
    && chown mirada:mirada /app/faiss_indexes /data \
    && chmod 0700 /app/faiss_indexes /data
WORKDIR /app
COPY --from=packages /opt/venv /opt/venv
COPY LICENSE NOTICE wsgi.py gunicorn.conf.py ./
COPY migrations migrations
# Weights may be readable by their maker only.
COPY --chown=mirada:mirada models models
COPY mirada mirada
COPY workers workers
COPY webapp webapp
COPY console console
COPY agents agents
COPY bin bin
COPY demo demo
COPY dev/demo.py dev/demo_scenes.py dev/
ENV PATH=/app/bin:/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FLASK_APP=wsgi:app \
    HOST=0.0.0.0 \
    PORT=8000 \
    AUTH_MODE=keys \
    DATA_DIR=/data \
    EMBEDDINGS_CACHE_DIR=/data/models \
    FAISS_INDEX_DIR=/app/faiss_indexes
USER mirada
VOLUME ["/data", "/app/faiss_indexes"]
EXPOSE 8000
# Live, not healthy: a database that is down is no reason to kill a server that waits for it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health/live', timeout=4)"]
CMD ["python", "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
