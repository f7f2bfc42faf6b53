#!/usr/bin/env bash
# The loop over folds: features, k x (train, test), merge.  Called again, it goes on where it stopped.
#
#   ./run.sh DATASET [K] [--only STAGE] [--select_noisy] [flags of train.py ...]
#   ./run.sh freesound 5 --arch resnet18 --use_cbam --use_mix_up --use_spec_aug
# --only: one stage of it, as a job of its own: features, train:FOLD, test:FOLD or merge; the flags stay the same.
# --select_noisy: train twice, first on curated clips alone; then with the noisy clips whose labels that network ranks high.
# Environment: TTA=8 crops per clip; SPLITS="val test" to predict: val alone for data without test clips, train_noisy
# too for what the folds think of the noisy labels; PYTHON.
set -euo pipefail
cd "$(dirname "$0")"

usage() { sed -n '2,10s/^# \{0,1\}//p' "$0"; exit "$1"; }
misuse() { echo "run.sh: $1; -h tells how to call it" >&2; exit 2; }
[[ ${1:-} == -h || ${1:-} == --help ]] && usage 0
[[ $# -ge 1 ]] || usage 2
dataset=$1; shift
k=5; [[ ${1:-} =~ ^[0-9]+$ ]] && { k=$1; shift; }
python=${PYTHON:-python}; tta=${TTA:-8}; splits=${SPLITS:-val test}

# the flags that name files, or that other scripts need too
arch=resnet18 rows=128 cols=197 rate=44100 seed=1234
only=all select= flags=()
while (($#)); do
  flag=${1%%=*}; value=${1#*=}
  [[ $value == "$1" ]] && value=${2:-}
  case $flag in
    --arch) arch=$value ;;
    --img_rows) rows=$value ;;
    --img_cols) cols=$value ;;
    --sampling_rate) rate=$value ;;
    --seed) seed=$value ;;
    --select_noisy) select=yes; shift; continue ;;
    --only) only=$value; [[ $1 == "$flag" && $# -gt 1 ]] && shift; shift; continue ;;
  esac
  flags+=("$1"); shift
done

features() {
  PYTHONPATH=. $python loaders/freesound_loader.py --dataset "$dataset" --sampling_rate "$rate" --img_rows "$rows"
}
name() { echo "${arch}_${dataset}_$1_${rows}x${cols}_${rate}_$2-$k"; }  # of a fold's file: best, last or a split
fit() {  # fold, subfolder, further flags of train.py
  local last; last=checkpoints$2/$(name last "$1")_model.pth
  local resume=(); [[ -f $last ]] && resume=(--resume "$last")
  $python train.py --dataset "$dataset" --fold_num "$1" --num_folds "$k" --checkpoint_dir "checkpoints$2" \
    "${flags[@]}" "${@:3}" "${resume[@]}"
}
predict() {  # fold, subfolder, splits
  local best split; best=checkpoints$2/$(name best "$1")_model.pth
  for split in "${@:3}"; do
    [[ predictions$2/$(name "$split" "$1").npz -nt $best ]] ||
      $python test.py --model_path "$best" --split "$split" --tta "$tta" --prediction_dir "predictions$2"
  done
}
train() {
  [[ $select ]] || { fit "$1" ""; return; }
  fit "$1" /first --split train_curated
  predict "$1" /first train_noisy
  fit "$1" "" --noisy_scores predictions/first
}
merge() {
  local split
  for split in $splits; do
    $python merge.py --dataset "$dataset" --img_rows "$rows" --img_cols "$cols" --seed "$seed" --split "$split"
  done
}

case $only in
  all)
    features
    for ((i = 0; i < k; i++)); do echo "== fold $i of $k"; train $i; predict $i "" $splits; done
    merge ;;
  features | merge) "$only" ;;
  train:* | test:*)
    fold=${only#*:}
    [[ $fold =~ ^(0|[1-9][0-9]{0,8})$ && $fold -lt $k ]] || misuse "--only $only: the folds are 0 to $((k - 1))"
    if [[ $only == train:* ]]; then train "$fold"; else predict "$fold" "" $splits; fi ;;
  *) misuse "--only '$only': the stages are features, train:FOLD, test:FOLD and merge" ;;
esac
