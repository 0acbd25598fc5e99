"""What is bought together: a stream processor learns it (`learner/`), and a service of the runtime answers from what was learnt."""
