#!/usr/bin/env bash
# The loop over folds: features, k x (train, test), merge.  Called again, it goes on where it stopped.
#
#   ./run.sh DATASET [K] [flags of train.py ...]
#   ./run.sh freesound 5 --arch resnet18 --use_cbam --use_mix_up --use_spec_aug
# Environment: TTA=8 crops per clip; SPLITS="val test" to predict: val alone for data without test clips, train_noisy
# too for what the folds think of the noisy labels; PYTHON.
set -euo pipefail
cd "$(dirname "$0")"

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit "$1"; }
[[ ${1:-} == -h || ${1:-} == --help ]] && usage 0
[[ $# -ge 1 ]] || usage 2
dataset=$1; shift
k=5; [[ ${1:-} =~ ^[0-9]+$ ]] && { k=$1; shift; }
python=${PYTHON:-python}; tta=${TTA:-8}; splits=${SPLITS:-val test}

# the flags that name files, or that other scripts need too
arch=resnet18 rows=128 cols=197 rate=44100 seed=1234
flags=("$@")
for ((n = 0; n < ${#flags[@]}; n++)); do
  flag=${flags[n]%%=*}; value=${flags[n]#*=}
  [[ $value == "$flag" ]] && value=${flags[n + 1]:-}
  case $flag in
    --arch) arch=$value ;;
    --img_rows) rows=$value ;;
    --img_cols) cols=$value ;;
    --sampling_rate) rate=$value ;;
    --seed) seed=$value ;;
  esac
done

PYTHONPATH=. $python loaders/freesound_loader.py --dataset "$dataset" --sampling_rate "$rate" --img_rows "$rows"

for ((i = 0; i < k; i++)); do
  name=${rows}x${cols}_${rate}_${i}-${k}
  best=checkpoints/${arch}_${dataset}_best_${name}_model.pth
  last=checkpoints/${arch}_${dataset}_last_${name}_model.pth
  echo "== fold $i of $k"
  resume=(); [[ -f $last ]] && resume=(--resume "$last")
  $python train.py --dataset "$dataset" --fold_num $i --num_folds "$k" "${flags[@]}" "${resume[@]}"
  for split in $splits; do
    done=predictions/${arch}_${dataset}_${split}_${name}.npz
    [[ $done -nt $best ]] || $python test.py --model_path "$best" --split $split --tta "$tta"
  done
done

for split in $splits; do
  $python merge.py --dataset "$dataset" --img_rows "$rows" --img_cols "$cols" --seed "$seed" --split $split
done
