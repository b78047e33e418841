# shellcheck shell=bash
# Builds the cluster's programs from Go modules into the cache. Sourced, never run.

# build [NAME...]: builds what is missing of the named components (of all by default), and shows how far it is.
build() {
  local wanted=" $* " total=0 number=0 name linked tags module package
  [ $# = 0 ] && wanted=" $(components | cut -d' ' -f1 | tr '\n' ' ') "
  for name in $wanted; do [ -x "$bin/$name" ] || total=$((total + 1)); done
  [ "$total" = 0 ] && return 0
  need_go
  [[ $wanted == *" runc "* ]] && need_node_packages
  mkdir -p "$bin" "$bin/../log"
  log "building $total programs of the cluster into $bin (all of them: about 8 minutes on 2 cores, once)"
  while read -r name linked tags module package; do
    [[ $wanted == *" $name "* ]] || continue
    [ -x "$bin/$name" ] && continue
    number=$((number + 1))
    build_one "$name" "$linked" "$tags" "$module" "$package" "[$number/$total]" </dev/null
  done < <(components)
  # Eight gigabytes that nobody would miss.
  rm -rf "$bin/../go"
}

build_one() {
  local name=$1 linked=$2 tags=$3 module=$4 package=$5 place=$6 stamp="-s -w" log_file=$bin/../log/$1.log begin=$SECONDS job
  if [ "$module" = kubernetes ]; then
    local version=k8s.io/component-base/version minor=${kubernetes_version#v1.}
    stamp="$stamp -X $version.gitVersion=$kubernetes_version -X $version.gitMajor=1 -X $version.gitMinor=${minor%%.*}"
  fi
  [ "$tags" = - ] && tags=
  # Written under another name first: a build that is interrupted leaves no program that looks whole.
  (cd "$here/modules/$module" && GOCACHE="$bin/../go/build" GOMODCACHE="$bin/../go/modules" CGO_ENABLED=$linked go build -modcacherw -buildvcs=false -trimpath -tags "$tags" -ldflags "$stamp" \
    -o "$bin/$name.part" "$package" >"$log_file" 2>&1 && mv "$bin/$name.part" "$bin/$name") &
  job=$!
  show_progress "$job" "$place $name" "$begin"
  if ! wait "$job"; then
    tail -n 20 "$log_file" >&2
    fail "$name could not be built; the whole output is in $log_file"
  fi
  [ -t 2 ] && printf '\r\033[K' >&2
  log "$place $name, $((SECONDS - begin)) s"
}

# On a terminal one line that counts the seconds; elsewhere a line every half minute.
show_progress() {
  local job=$1 what=$2 begin=$3 shown=0 elapsed
  while kill -0 "$job" 2>/dev/null; do
    elapsed=$((SECONDS - begin))
    if [ -t 2 ]; then
      printf '\r\033[K%s ... %d s' "$what" "$elapsed" >&2
    elif [ $((elapsed - shown)) -ge 30 ]; then
      shown=$elapsed
      log "$what ... $elapsed s"
    fi
    sleep 0.5
  done
}
