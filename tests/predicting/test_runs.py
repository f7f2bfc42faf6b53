"""Names are parsed whole."""

from predicting.runs import is_named_after, parse_name

FOLD = "32x64_16000_0-2"
NAMES = {
    f"resnet18_demo_best_{FOLD}_model.pth": ("resnet18_demo", "best"),
    f"resnet18_best_of_2024_last_{FOLD}_model.pth": ("resnet18_best_of_2024", "last"),
    f"resnet18_the_best_best_{FOLD}_model.pth": ("resnet18_the_best", "best"),
    f"resnet18_a_last_32x64_16000_0-2_best_{FOLD}_model.pth": ("resnet18_a_last_32x64_16000_0-2", "best"),
    f"resnet18_a_test_train_noisy_{FOLD}.npz": ("resnet18_a_test", "train_noisy"),
    f"resnet18_demo_best_{FOLD}_model (copy).pth": None,
    f"resnet18_demo_best_{FOLD}_model_old.pth": None,
    f"resnet18_best_of_2024_{FOLD}_model.pth": None,
    f"resnet18_demo_test_{FOLD}_old.npz": None,
}


def test_names_are_parsed_whole():
    for text, expected in NAMES.items():
        name = parse_name(f"some_best_folder/{text}")
        assert (name and (name.network, name.kind, name.fold)) == (expected and (*expected, FOLD))


def test_a_copy_with_something_in_front_of_its_name_is_not_named_after_the_run():
    size = {"img_rows": 32, "img_cols": 64, "sampling_rate": 16000, "fold_num": 0, "num_folds": 2}
    args = {"arch": "resnet18", "dataset": "best_of_2024", **size}
    assert is_named_after(f"resnet18_best_of_2024_best_{FOLD}_model.pth", args)
    assert not is_named_after(f"old_resnet18_best_of_2024_best_{FOLD}_model.pth", args)
    assert not is_named_after(f"resnet18_best_of_2024_best_{FOLD}_model.pth", size | {"arch": "resnet18"})
