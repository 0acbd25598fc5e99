"""`python -m services.recommendation.learner`: the learner's process."""

import gc

if __name__ == "__main__":
    # What is imported stays for good: to look for garbage in it, again and again while it comes, is a tenth of the start.
    gc.disable()
    from services.recommendation.learner.process import main

    gc.freeze()
    gc.enable()
    raise SystemExit(main())
