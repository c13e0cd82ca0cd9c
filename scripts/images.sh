#!/usr/bin/env bash
# `make images`: builds the two images of deploy/images from the last commit, with buildah or, where there is none, docker.
#   REPOSITORY   what they are called; the tags are the package's version, and that with -gpu
#   TARGETS      which: "cpu gpu"
#   SNAPSHOT     "yes": the system's packages as they were at the commit, so that the build can be repeated
#   BUILD_FLAGS  more for the builder: --build-arg DEBIAN=…, --secret id=certificates,src=…
set -euo pipefail
cd "$(git rev-parse --show-toplevel)"
repository=${REPOSITORY:-ghcr.io/cellfleet/cellfleet}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(git rev-parse HEAD)
moment=$(git log -1 --format=%ct)

# Nothing but what is committed reaches a builder.
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
git archive HEAD | tar -x -C "$context"

if command -v buildah >/dev/null; then
    build=(buildah build --timestamp "$moment")
elif docker info >/dev/null 2>&1; then
    build=(docker build)
else
    echo "images.sh: neither buildah nor a running docker is here. On Debian or Ubuntu: apt-get install buildah" >&2
    exit 1
fi
if [ "${SNAPSHOT:-}" = yes ]; then build+=(--build-arg "SNAPSHOT=$(date -u -d "@$moment" +%Y%m%dT%H%M%SZ)"); fi
read -r -a flags <<<"${BUILD_FLAGS:-}"

export SOURCE_DATE_EPOCH=$moment
for target in ${TARGETS:-cpu gpu}; do
    case $target in
    cpu) file=Dockerfile tag=$version words=(--build-arg "VERSION=$version" --build-arg "REVISION=$revision") ;;
    gpu) file=Dockerfile.gpu tag=$version-gpu words=(--build-arg "CELLFLEET=$repository:$version") ;;
    *) echo "images.sh: unknown target $target" >&2 && exit 2 ;;
    esac
    "${build[@]}" --build-arg "SOURCE_DATE_EPOCH=$moment" "${words[@]}" "${flags[@]}" \
        --file "$context/deploy/images/$file" --tag "$repository:$tag" "$context"
done
