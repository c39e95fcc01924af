# The replication of SGE: `snakemake --cores all`. The workflow is in workflow/.
include: "workflow/Snakefile"


workflow.default_target = "all"  # that of an included file does not count
