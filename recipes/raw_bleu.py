"""sacreBLEU against untouched references, for a model of lower-cased tokenised text.

    pip install sacremoses
    python recipes/raw_bleu.py runs/multi30k-en-de-rnn data/multi30k/tok/test_2016_flickr.lc.norm.tok.en.gz \
        data/multi30k/test_2016_flickr.de.gz

The output is detokenised with the rules of Moses and compared without regard to case, for the model never saw any;
the signature says so (case:lc).
"""

from __future__ import annotations

import sys

import sacrebleu
from sacremoses import MosesDetokenizer

import weft
from weft.data.lines import read_lines


def main(model_folder: str, source_file: str, reference_file: str) -> None:
    model = weft.load(model_folder)
    detokenizer = MosesDetokenizer(lang=model.recipe.target_language)
    outputs = [detokenizer.detokenize(str(output).split()) for output in model.predict(list(read_lines(source_file)))]
    references = list(read_lines(reference_file))
    bleu = sacrebleu.BLEU(lowercase=True)
    print(bleu.corpus_score(outputs, [references]), bleu.get_signature())


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
