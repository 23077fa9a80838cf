# `mdth serve` on port 8000, its data in /data; docs/serving.md. scripts/image tries these steps
# where there is no Docker. With voices for texts: --build-arg EXTRAS=serve,s3,speak
FROM debian:bookworm-slim AS build
ARG EXTRAS=serve,s3
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates python3-venv libegl1 libgles2 libgl1 libglib2.0-0
COPY . /src
RUN python3 -m venv /opt/mdth && /opt/mdth/bin/pip install --no-cache-dir --constraint /src/constraints.txt "/src[$EXTRAS]"
ENV MDTH_MODELS=/opt/mdth/models
RUN /opt/mdth/bin/mdth assets fetch && case ",$EXTRAS," in *,speak,*) /opt/mdth/bin/mdth assets fetch speak;; esac
RUN find /opt/mdth -name __pycache__ -prune -exec rm -r {} +

# The drivers that MediaPipe's libraries bring draw nothing here: 165 MB.
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates python3 libegl1 libgles2 libgl1 libglib2.0-0 && rm -rf /var/lib/apt/lists/* /usr/lib/*/libLLVM-* /usr/lib/*/libz3.* /usr/lib/*/dri && useradd --create-home mdth && install -d -o mdth /data
COPY --from=build /opt/mdth /opt/mdth
ENV MDTH_MODELS=/opt/mdth/models MDTH_DATA=/data
USER mdth
VOLUME /data
EXPOSE 8000
HEALTHCHECK --start-period=30s CMD ["/opt/mdth/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=5)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/mdth/bin/mdth"]
CMD ["serve", "--host", "0.0.0.0"]
