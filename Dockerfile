# The image of billing-service. With --target demo: the same, and the SMSC simulator of bench/.
#
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" --tag billing-service:0.1.0 .
#
# A tag moves with every security update of Python and Debian. For a release, name what it is today
# (docker buildx imagetools inspect python:3.13-slim-trixie), and write it down with the release:
#   --build-arg PYTHON_IMAGE=python:3.13-slim-trixie@sha256:...
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv /opt/tools \
    && python -m venv --without-pip /opt/billing-service
# What it needs at run time, and what builds its wheel, by version and hash.
COPY requirements-service.lock requirements-image.lock ./
RUN pip --python /opt/billing-service/bin/python install --require-hashes --only-binary :all: \
        --requirement requirements-service.lock \
    && /opt/tools/bin/pip install --require-hashes --only-binary :all: \
        --requirement requirements-image.lock
COPY pyproject.toml README.md LICENSE ./
COPY service/ service/
RUN /opt/tools/bin/hatchling build --target wheel --directory dist \
    && pip --python /opt/billing-service/bin/python install --no-deps dist/*.whl

FROM ${PYTHON_IMAGE} AS runtime
ARG REVISION=unknown
LABEL org.opencontainers.image.title="billing-service" \
      org.opencontainers.image.description="Settles a Jasmin SMS gateway's billing events and delivery receipts in PostgreSQL." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 billing \
    && useradd --uid 10001 --gid billing --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin billing
COPY --from=build /opt/billing-service /opt/billing-service
COPY config/docker/healthy.py /usr/local/lib/billing-service/healthy.py
# Writes nothing but its run directory, in /tmp.
ENV PATH=/opt/billing-service/bin:$PATH PYTHONDONTWRITEBYTECODE=1 BILLING_HTTP_HOST=0.0.0.0
EXPOSE 9108
# By number, as Kubernetes wants it that checks runAsNonRoot.
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "/usr/local/lib/billing-service/healthy.py", "/healthz"]
ENTRYPOINT ["billing-service"]
CMD ["run"]

FROM runtime AS demo
USER 0:0
COPY requirements-image.lock /opt/demo/
RUN pip --no-cache-dir --python /opt/billing-service/bin/python install --require-hashes \
        --only-binary :all: --requirement /opt/demo/requirements-image.lock
USER 10001:10001
WORKDIR /opt/demo
COPY bench/ bench/
ENTRYPOINT ["python", "-m"]
CMD ["bench.smsc", "--host", "0.0.0.0"]
HEALTHCHECK NONE

FROM runtime AS service
