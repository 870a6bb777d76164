# One image, three entry points: cloudai-operator (default), cloudai-scheduler, cloudai-optimizer; and kubectl-cloudai.
# The base is a tag that an update bot keeps current; for a fixed one: --build-arg BASE=python:3.13-slim@sha256:...
ARG BASE=python:3.13-slim

FROM ${BASE} AS dependencies
COPY requirements/runtime.txt /tmp/runtime.txt
RUN python -m venv /opt/cloudai \
 && /opt/cloudai/bin/python -m pip install --no-cache-dir --no-compile --only-binary :all: --require-hashes -r /tmp/runtime.txt \
 && /opt/cloudai/bin/python -m pip uninstall --yes --quiet setuptools pip \
 && find /opt/cloudai -name __pycache__ -prune -exec rm -r {} + \
 && echo /opt/app > "$(/opt/cloudai/bin/python -c 'import site; print(site.getsitepackages()[0])')/cloudai.pth" \
 && /opt/cloudai/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/cloudai

FROM ${BASE} AS wheel
COPY requirements/build.txt /tmp/build.txt
RUN python -m venv /opt/builder \
 && /opt/builder/bin/python -m pip install --no-cache-dir --only-binary :all: --require-hashes -r /tmp/build.txt
COPY --from=dependencies /opt/cloudai /opt/cloudai
COPY . /src
RUN cd /src && SOURCE_DATE_EPOCH=0 /opt/builder/bin/python -m hatchling build -t wheel -d /tmp/wheel \
 && /opt/builder/bin/python -m pip --python /opt/cloudai/bin/python install --no-cache-dir --no-compile --no-deps \
    --target /opt/app /tmp/wheel/*.whl \
 && rm -rf /opt/app/cloudai_sandbox /opt/app/bin/cloudai-sandbox \
 && /opt/cloudai/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/app

# What changes seldom is its own layer: a change of ours moves a megabyte, not all dependencies.
FROM ${BASE}
COPY --from=dependencies /opt/cloudai /opt/cloudai
COPY --from=wheel /opt/app /opt/app
ENV PATH=/opt/app/bin:/opt/cloudai/bin:$PATH PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /nonexistent
USER 65532:65532
ENTRYPOINT ["cloudai-operator"]
