# A bucket for a workspace, and two policies: what a server needs, and what the loop needs.

resource "aws_s3_bucket" "objects" {
  bucket = var.bucket
  tags   = var.tags
}

resource "aws_s3_bucket_public_access_block" "objects" {
  bucket                  = aws_s3_bucket.objects.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "objects" {
  bucket = aws_s3_bucket.objects.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

# Objects are create-only by design; versions bring back what a person deleted by mistake.
resource "aws_s3_bucket_versioning" "objects" {
  bucket = aws_s3_bucket.objects.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "objects" {
  bucket     = aws_s3_bucket.objects.id
  depends_on = [aws_s3_bucket_versioning.objects]

  rule {
    id     = "unfinished-uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
    # An erasure on request is complete once the old version is gone too.
    noncurrent_version_expiration {
      noncurrent_days = 30
    }
  }

  dynamic "rule" {
    for_each = var.upload_days > 0 ? [var.upload_days] : []
    content {
      id     = "collected-uploads"
      status = "Enabled"
      filter {
        prefix = "${var.prefix}/uploads/"
      }
      expiration {
        days = rule.value
      }
    }
  }
}

data "aws_iam_policy_document" "server" {
  statement {
    sid       = "FindModels"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.objects.arn]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${var.prefix}/*"]
    }
  }
  statement {
    sid       = "ReadModels"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.objects.arn}/${var.prefix}/*"]
  }
  # A server writes what it collects, and nothing else: it cannot change which model answers.
  statement {
    sid     = "WriteUploads"
    actions = ["s3:PutObject", "s3:AbortMultipartUpload"]
    resources = [
      "${aws_s3_bucket.objects.arn}/${var.prefix}/uploads/*",
      "${aws_s3_bucket.objects.arn}/${var.prefix}/images/*",
    ]
  }
}

data "aws_iam_policy_document" "loop" {
  source_policy_documents = [data.aws_iam_policy_document.server.json]
  statement {
    sid       = "WriteWorkspace"
    actions   = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = ["${aws_s3_bucket.objects.arn}/${var.prefix}/*"]
  }
}

resource "aws_iam_policy" "server" {
  name_prefix = "nhan-server-"
  policy      = data.aws_iam_policy_document.server.json
  tags        = var.tags
}

resource "aws_iam_policy" "loop" {
  name_prefix = "nhan-loop-"
  policy      = data.aws_iam_policy_document.loop.json
  tags        = var.tags
}

resource "aws_ecr_repository" "image" {
  for_each             = var.registry ? toset(["nhan-serve", "nhan-train"]) : toset([])
  name                 = each.key
  image_tag_mutability = "IMMUTABLE"
  tags                 = var.tags

  image_scanning_configuration {
    scan_on_push = true
  }
}
