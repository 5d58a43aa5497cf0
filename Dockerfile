FROM python:3.13-slim
WORKDIR /app
COPY requirements.txt requirements-build.txt pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir --require-hashes -r requirements.txt \
    && pip install --no-cache-dir --require-hashes -r requirements-build.txt
COPY resonance_zoom ./resonance_zoom
COPY jobs ./jobs
COPY config ./config
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
    && useradd --create-home resonance && mkdir -m 700 var && chown resonance var
USER resonance
VOLUME /app/var
ENV HOST=0.0.0.0 PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=60s --timeout=5s \
    CMD python -c "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthz', timeout=4)"
CMD ["resonance-zoom", "run"]
