# The locked environment and the project, for `snakemake` as a whole: docs/containers.md has the commands.
FROM python:3.11-slim

# git: the commit of each result; g++: what triton and torch.compile build at run time; make: the set-up below.
RUN apt-get update && apt-get install -y --no-install-recommends g++ git make && rm -rf /var/lib/apt/lists/*

COPY . /sgenet
WORKDIR /sgenet
RUN make setup ENV=/opt/sgenet && rm -rf .uv /root/.cache && install -d -m 1777 /scratch

# Any user id, also one without a name or a home: all that is no result is written to /scratch.
ENV PATH=/opt/sgenet/bin:$PATH \
    USER=sgenet \
    HOME=/scratch \
    TMPDIR=/scratch \
    XDG_CACHE_HOME=/scratch/cache \
    MPLCONFIGDIR=/scratch/matplotlib \
    GIT_CONFIG_COUNT=1 \
    GIT_CONFIG_KEY_0=safe.directory \
    GIT_CONFIG_VALUE_0=*

CMD ["snakemake", "--cores", "all"]
