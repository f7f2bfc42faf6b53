#!/usr/bin/env bash
# The loop over folds: features, k x (train, test), merge.  Called again, it goes on where it stopped.
#
#   ./run.sh DATASET [K] [--only STAGE] [--select_noisy] [--prediction_dir FOLDER] [flags of train.py ...]
#   ./run.sh freesound 5 --arch resnet18 --use_cbam --use_mix_up --use_spec_aug
# --only: one stage of it, as a job of its own: features, train:FOLD, test:FOLD or merge; the flags stay the same.
# --select_noisy: train twice, first on curated clips alone; then with the noisy clips whose labels that network ranks high.
# K: folds; without it those that the data set gives, else 5.
# Environment: TTA=8 crops per clip; SPLITS="val test train_noisy" to predict the noisy clips too; PYTHON.
# The scripts themselves find out what is still to do, so a product that is out of date is made again or refused.
set -euo pipefail
cd "$(dirname "$0")"

usage() { sed -n '2,11s/^# \{0,1\}//p' "$0"; exit "$1"; }
misuse() { echo "run.sh: $1; -h tells how to call it" >&2; exit 2; }
[[ ${1:-} == -h || ${1:-} == --help ]] && usage 0
[[ $# -ge 1 ]] || usage 2
dataset=$1; shift
k=; [[ ${1:-} =~ ^[0-9]+$ ]] && { k=$1; shift; }
python=${PYTHON:-python}; tta=${TTA:-8}

# flags that other stages need too; all but those of this script go to train.py as they are
rows=128 cols=197 rate=44100 seed=1234 checkpoints=checkpoints predictions=predictions precision=
only=all select= flags=(--dataset "$dataset" ${k:+--num_folds "$k"} --resume auto)
while (($#)); do
  flag=${1%%=*}; value=${1#*=}; words=1
  [[ $value == "$1" ]] && { value=${2:-}; words=2; }
  case $flag in
    -h | --help) usage 0 ;;
    --img_rows) rows=$value ;;
    --img_cols) cols=$value ;;
    --sampling_rate) rate=$value ;;
    --seed) seed=$value ;;
    --precision) precision=$value ;;
    --checkpoint_dir) checkpoints=$value; ours=yes ;;
    --prediction_dir) predictions=$value; ours=yes ;;
    --only) only=$value; ours=yes ;;
    --select_noisy) select=yes words=1 ours=yes ;;
    --dataset | --fold_num | --num_folds | --split | --resume | --noisy_scores | --model_path | --tta | --plan)
      misuse "$flag: run.sh sets it for each stage; leave it out" ;;
  esac
  [[ ${ours:-} ]] || { flags+=("$1"); words=1; }
  ours=; shift $((words > $# ? $# : words))
done

[[ $only =~ ^(all|features|merge|(train|test):(0|[1-9][0-9]{0,8}))$ ]] ||
  misuse "--only '$only': the stages are features, train:FOLD, test:FOLD and merge"
plan=$("$python" train.py "${flags[@]}" --plan)  # a misspelt flag ends the loop here, not after the features
line() { sed -n "$1p" <<<"$plan"; }
first=$(line 1); k=${first%% *}; splits=${SPLITS:-${first#* }} run=$(line $((k + 2))) there=" $(line $((k + 3))) "
[[ $tta =~ ^([0-9]+|shared)$ ]] || misuse "TTA='$tta': a number of crops, or shared"
[[ $splits =~ [^[:space:]] ]] || misuse "SPLITS is empty"
for split in $splits; do [[ $there == *" $split "* ]] || misuse "SPLITS: there is no $split; the data set has$there"; done
[[ ! $select || $there == *" train_noisy "* ]] || misuse "--select_noisy: the data set has no noisy clips"

features() {
  PYTHONPATH=. "$python" loaders/freesound_loader.py --dataset "$dataset" --sampling_rate "$rate" --img_rows "$rows"
}
fit() {  # fold, subfolder, further flags of train.py
  local fold=$1 folder=$checkpoints$2; shift 2
  "$python" train.py "${flags[@]}" --fold_num "$fold" --checkpoint_dir "$folder" "$@"
}
predict() {  # fold, subfolder, splits
  local fold=$1 subfolder=$2 best; shift 2
  best=$checkpoints$subfolder/$(line $((fold + 2)))
  "$python" test.py --if_needed --model_path "$best" --tta "$tta" ${precision:+--precision "$precision"} \
    --prediction_dir "$predictions$subfolder" --split "$@"
}
train() {
  [[ $select ]] || { fit "$1" ""; return; }
  fit "$1" /first --split train_curated
  predict "$1" /first train_noisy
  fit "$1" "" --noisy_scores "$predictions/first"
}
merge() {
  local split
  for split in $splits; do
    "$python" merge.py --dataset "$dataset" --img_rows "$rows" --img_cols "$cols" --seed "$seed" --split "$split" \
      --run "$run" --prediction_dir "$predictions"
  done
}

case $only in
  all)
    features
    for ((i = 0; i < k; i++)); do echo "== fold $i of $k"; train "$i"; predict "$i" "" $splits; done
    merge ;;
  features | merge) "$only" ;;
  *)
    fold=${only#*:}; [[ $fold -lt $k ]] || misuse "--only $only: the folds are 0 to $((k - 1))"
    if [[ $only == train:* ]]; then train "$fold"; else predict "$fold" "" $splits; fi ;;
esac
