# One image, three entry points: cloudai-operator (default), cloudai-scheduler, cloudai-optimizer.
FROM python:3.13-slim AS build
COPY requirements/runtime.txt /tmp/runtime.txt
RUN python -m venv /opt/cloudai && /opt/cloudai/bin/pip install --no-cache-dir --require-hashes -r /tmp/runtime.txt
COPY . /src
WORKDIR /src
RUN python -m venv /opt/builder && /opt/builder/bin/pip install --no-cache-dir hatchling==1.33.0 \
 && /opt/builder/bin/python -m hatchling build -t wheel -d /tmp/wheel
RUN /opt/cloudai/bin/pip install --no-cache-dir --no-deps /tmp/wheel/*.whl

FROM python:3.13-slim
COPY --from=build /opt/cloudai /opt/cloudai
ENV PATH=/opt/cloudai/bin:$PATH PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1
WORKDIR /nonexistent
USER 65532:65532
ENTRYPOINT ["cloudai-operator"]
