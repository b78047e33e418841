# The images of Manyworlds: operator, runner, worker-python, scripted-model and agents, for docker, podman and buildah.
#
# `make images` compiles the programs (linked statically, so that they run in any image) into target/images/context and
# builds the targets with that folder as the context; by hand:
#   docker build --target runner --file Dockerfile target/images/context
# Where no registry can be reached, BASE names an image that tests/cluster/images made from Debian packages.
ARG BASE=docker.io/library/debian:bookworm-slim

FROM scratch AS operator
COPY manyworlds-operator /manyworlds-operator
USER 10001:10001
ENTRYPOINT ["/manyworlds-operator"]

FROM ${BASE} AS runner
# ssh refuses to run under a user that has no entry.
RUN command -v git >/dev/null || { apt-get update && \
    apt-get install --yes --no-install-recommends ca-certificates git openssh-client && rm -rf /var/lib/apt/lists/*; }; \
    echo 'world:x:10001:10001:World:/tmp:/bin/sh' >>/etc/passwd && echo 'world:x:10001:' >>/etc/group
COPY manyworlds-runner /manyworlds-runner
USER 10001:10001
ENTRYPOINT ["/manyworlds-runner"]

FROM ${BASE} AS worker-python
RUN command -v pytest-3 >/dev/null || { apt-get update && \
    apt-get install --yes --no-install-recommends ca-certificates git openssh-client procps python3 python3-pytest && \
    rm -rf /var/lib/apt/lists/*; }; \
    echo 'world:x:10001:10001:World:/tmp:/bin/sh' >>/etc/passwd && echo 'world:x:10001:' >>/etc/group
USER 10001:10001

# For the tests only: four agent programs as workers (docs/agents.md). Its context is the folder that tests/agents/install prints.
FROM ${BASE} AS agents
RUN command -v pytest-3 >/dev/null || { apt-get update && \
    apt-get install --yes --no-install-recommends ca-certificates git procps python3 python3-pytest && \
    rm -rf /var/lib/apt/lists/*; }; \
    echo 'world:x:10001:10001:World:/tmp:/bin/sh' >>/etc/passwd && echo 'world:x:10001:' >>/etc/group
COPY . /opt/manyworlds-agents
ENV PATH=/opt/manyworlds-agents/bin:/opt/manyworlds-agents/programs:/usr/local/bin:/usr/bin:/bin
USER 10001:10001

# For the demo and the tests only: a server that speaks like the APIs of models and answers by a script.
FROM scratch AS scripted-model
COPY manyworlds-scripted-model /scripted-model
USER 10001:10001
ENTRYPOINT ["/scripted-model"]
