FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/daybook
COPY requirements/run.txt requirements/
RUN /opt/daybook/bin/pip install --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/daybook/bin/pip install --no-deps --no-build-isolation .

FROM python:3.12-slim
# A new named volume takes the folder's owner and content over from the image.
RUN groupadd --gid 10001 daybook \
    && useradd --uid 10001 --gid daybook --no-create-home --shell /usr/sbin/nologin daybook \
    && install --directory --owner=daybook --group=daybook /app/data
COPY --from=build /opt/daybook /opt/daybook
COPY --chown=10001:10001 data/transactions_1_month.csv /app/data/transactions_1_month.csv
ENV PATH=/opt/daybook/bin:$PATH PYTHONUNBUFFERED=1 DataDir=/app/data HttpHost=0.0.0.0
WORKDIR /app
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
CMD ["daybook", "serve"]
