# The service in a container. How to build and start it: README, "Going live", step 7.
FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/venv
# The locks first: a change of the code does not install the packages again.
COPY requirements-postgres.txt ./
RUN /opt/venv/bin/pip install --require-hashes -r requirements-postgres.txt
COPY requirements-build.txt ./
RUN python -m venv /opt/tools && /opt/tools/bin/pip install --require-hashes -r requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY resonance_zoom resonance_zoom
COPY jobs jobs
COPY config config
RUN /opt/tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/venv/bin/pip install --no-deps /dist/*.whl

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin resonance \
 && install -d -o resonance -m 700 /app/var
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY config config
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 HOST=0.0.0.0 PORT=8000
USER resonance
# The database. Without this volume a new container would not know who has been written to.
VOLUME /app/var
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/healthz\", timeout=4)"]
CMD ["resonance-zoom", "run"]
