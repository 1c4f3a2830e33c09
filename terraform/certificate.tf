# The endpoint's certificate, where none is given: requested, validated in the hosted zone, renewed by ACM.

resource "aws_acm_certificate" "this" {
  count = var.certificate == null ? 1 : 0

  domain_name       = var.domain_name
  validation_method = "DNS"
  tags              = var.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_route53_record" "validation" {
  count = var.certificate == null ? 1 : 0

  zone_id         = var.hosted_zone.id
  name            = one(aws_acm_certificate.this[0].domain_validation_options[*].resource_record_name)
  type            = one(aws_acm_certificate.this[0].domain_validation_options[*].resource_record_type)
  records         = [one(aws_acm_certificate.this[0].domain_validation_options[*].resource_record_value)]
  ttl             = 300
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "this" {
  count = var.certificate == null ? 1 : 0

  certificate_arn         = aws_acm_certificate.this[0].arn
  validation_record_fqdns = [aws_route53_record.validation[0].fqdn]
}

locals {
  certificate_arn = var.certificate != null ? var.certificate.arn : aws_acm_certificate_validation.this[0].certificate_arn
}
