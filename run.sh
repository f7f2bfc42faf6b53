#!/usr/bin/env bash
# The loop over folds: features, k x (train, test), merge.  Called again, it goes on where it stopped.
#   ./run.sh DATASET [K] [--only STAGE] [--select_noisy] [--prediction_dir FOLDER] [flags of train.py ...]
# K: folds; without it those that the data set gives, else 5.  --only: one stage as a job of its own, with the same
# other flags: features, train:FOLD, test:FOLD or merge.
# --select_noisy: train twice, the second time with the noisy clips whose labels the first network ranks high.
# Environment: TTA=8 crops per clip; SPLITS="val test train_noisy" to predict the noisy clips too; PYTHON.
set -euo pipefail; cd "$(dirname "$0")"
misuse() { echo "run.sh: $1; -h lists what it takes" >&2; exit 2; }
case " ${*:---help} " in *" -h "* | *" --help "*) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit $(($# ? 0 : 2)) ;; esac
python=${PYTHON:-python} dataset=$1 flags=(--dataset "$1" --resume auto) only=all select='' tables=predictions; shift
if [[ ${1:-} =~ ^[0-9]+$ ]]; then flags+=(--num_folds "$1"); shift; fi
while (($#)); do
  case $1 in
    --only=* | --prediction_dir=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    --only | --prediction_dir) [[ $1 == --only ]] && only=${2:-} || tables=${2:-}; shift $(($# > 1 ? 2 : 1)) ;;
    --select_noisy) select=train_noisy; shift ;;
    --dataset* | --fold_num* | --num_folds* | --split* | --resume* | --noisy_scores* | --plan*) misuse "$1 is set by run.sh" ;;
    *) flags+=("$1"); shift ;;
  esac
done
[[ $only =~ ^(all|features|merge|(train|test):(0|[1-9][0-9]{0,8}))$ ]] || misuse "--only '$only' is no stage"
[[ ${TTA:-8} =~ ^([0-9]+|shared)$ ]] || misuse "TTA='$TTA' is neither a number of crops nor 'shared'"
plan=$("$python" train.py "${flags[@]}" --plan ${SPLITS:-})  # splits, then a path a fold; wrong flags end the loop here
[[ ! $select ]] || "$python" train.py "${flags[@]}" --plan $select >/dev/null
splits=$(head -n 1 <<<"$plan") paths=$(tail -n +2 <<<"$plan") k=$(($(wc -l <<<"$plan") - 1))
best() { sed -n "$(($1 + 1))p" <<<"$paths"; }
features() { PYTHONPATH=. "$python" loaders/freesound_loader.py --dataset "$dataset" --for_training "${flags[@]}"; }
fit() { "$python" train.py "${flags[@]}" --fold_num "$@"; }
predict() { "$python" test.py --if_needed --tta "${TTA:-8}" --prediction_dir "$1" --model_path "$2" --split "${@:3}"; }
train() {
  [[ $select ]] || { fit "$1"; return; }
  first=$(dirname "$(best "$1")")/first; fit "$1" --split train_curated --checkpoint_dir "$first"
  predict "$tables/first" "$first/$(basename "$(best "$1")")" train_noisy
  fit "$1" --noisy_scores "$tables/first"
}
test() { predict "$tables" "$(best "$1")" $splits; }
merge() (set -f; for split in $splits; do IFS=$'\n'
  "$python" merge.py --dataset "$dataset" --split "$split" --prediction_dir "$tables" --model_path $paths
done)
case $only in
  all) features; for ((i = 0; i < k; i++)); do echo "== fold $i of $k"; train "$i"; test "$i"; done; merge ;;
  *:*) ((${only#*:} < k)) || misuse "--only $only: the folds are 0 to $((k - 1))"; "${only%:*}" "${only#*:}" ;;
  *) "$only" ;;
esac
