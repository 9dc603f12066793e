# Stand-ins for the images that docker-compose.yml and deploy/Dockerfile name, made of Debian's packages where no image
# can be pulled. `base` is a fresh debootstrap with the machine's own way to its package mirrors.
# They keep to what the originals promise: user names, entry points, variables, tools that health checks need.

FROM wharf-standin/base AS python
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-pip python3-venv ca-certificates \
    && rm -rf /var/lib/apt/lists/* /usr/lib/python3*/EXTERNALLY-MANAGED \
    && ln -s /usr/bin/python3 /usr/local/bin/python3 && ln -s /usr/bin/python3 /usr/local/bin/python \
    && ln -s /usr/bin/pip3 /usr/local/bin/pip
# What this machine trusts and where it finds packages.
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY pip.conf /etc/pip.conf
CMD ["python3"]

FROM wharf-standin/base AS postgres
RUN groupadd --gid 999 postgres && useradd --uid 999 --gid 999 --home-dir /var/lib/postgresql --shell /bin/bash postgres \
    && mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf \
    && apt-get update && apt-get install -y --no-install-recommends postgresql && rm -rf /var/lib/apt/lists/* \
    && ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/ \
    && install -d -o postgres -g postgres -m 1777 /var/lib/postgresql/data \
    && install -d -o postgres -g postgres -m 3777 /var/run/postgresql
COPY postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENV PGDATA=/var/lib/postgresql/data LANG=C.UTF-8
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]

FROM wharf-standin/base AS redis
RUN groupadd --gid 999 redis && useradd --uid 999 --gid 999 redis \
    && apt-get update && apt-get install -y --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/* \
    && install -d -o redis -g redis /data
VOLUME /data
WORKDIR /data
CMD ["redis-server"]

FROM wharf-standin/base AS nginx
RUN groupadd --gid 101 nginx && useradd --uid 101 --gid 101 nginx \
    && apt-get update && apt-get install -y --no-install-recommends nginx-light curl && rm -rf /var/lib/apt/lists/*
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]

FROM wharf-standin/base AS registry
RUN apt-get update && apt-get install -y --no-install-recommends docker-registry wget ca-certificates \
    && rm -rf /var/lib/apt/lists/* && ln -s /usr/bin/docker-registry /bin/registry \
    && printf '#!/bin/sh\nset -e\ncase "$1" in *.yaml|*.yml) set -- registry serve "$@" ;; esac\nexec "$@"\n' > /entrypoint.sh \
    && chmod 755 /entrypoint.sh
VOLUME /var/lib/registry
ENTRYPOINT ["/entrypoint.sh"]
CMD ["/etc/docker/registry/config.yml"]
