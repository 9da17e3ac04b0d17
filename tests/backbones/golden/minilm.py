"""Features of all-MiniLM-L6-v2 by the original library, for `test_hugging_face.py`.

Run once: `pip install torch==1.12.1 transformers==4.30.2 numpy==1.26.4`, then
`python minilm.py FOLDER REVIEWS OUTPUT`, with the checkpoint's folder, `review_domains.csv.gz` and
`minilm.npz`. Texts are 200 reviews in even steps; of each, the features of its first and its last
token, and the mean over all tokens.
"""

import csv
import gzip
import sys

import numpy as np

TEXTS = 200


def main(folder: str, reviews: str, output: str) -> None:
    """Runs the original model."""
    import torch
    import transformers

    with gzip.open(reviews, "rt", encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    texts = texts[:: len(texts) // TEXTS][:TEXTS]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    found = {"first": [], "last": [], "mean": []}
    for text in texts:
        tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=512)
        with torch.no_grad():
            features = model(**tokens).last_hidden_state[0].numpy()
        found["first"].append(features[0])
        found["last"].append(features[-1])
        found["mean"].append(features.mean(0))
    # Half precision rounds by less than a tenth of what is compared.
    arrays = {name: np.stack(rows).astype("float16") for name, rows in found.items()}
    np.savez_compressed(output, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
